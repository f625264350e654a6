"""Settings of the probes on cached features."""

from eval.settings.common import BATCH, DECODER, FRAMES, RECIPE, views
from sigma.settings import Setting, Settings

_VIEW = (
    BATCH,
    views(),
    DECODER,
    FRAMES,
    Setting(
        'stride_frames',
        int,
        "Video frames from one sampled frame to the next (default: the card's).",
        None,
        least=1,
    ),
)
POOLINGS = ('mean', 'time')
_POOLING = Setting(
    'pooling', str, '`mean` over all tokens, or of each time step, side by side (`time`).', 'mean', choices=POOLINGS
)
FROZEN_CENTROID = RECIPE + Settings((*_VIEW, _POOLING))
FROZEN_EPISODES = RECIPE + Settings(
    (
        *_VIEW,
        _POOLING,
        Setting('queries', int, 'Clips per class and episode that are classified.', least=1),
        Setting('episodes', int, 'Episodes whose mean accuracy is the score.', least=2),
    )
)
FROZEN_KNN = RECIPE + Settings(
    (
        *_VIEW,
        _POOLING,
        Setting('k', int, 'Neighbours that vote; a smaller bank votes as a whole.', least=1),
        Setting('temperature', float, 'A vote weighs exp(cosine / temperature).', above=0),
    )
)
FROZEN_KNN_SWEPT = RECIPE + Settings(
    (
        *_VIEW,
        Setting('ks', [int], 'Numbers of neighbours to choose from.', least=1, length=(1, 1000)),
        Setting('temperatures', [float], 'Temperatures to choose from.', above=0, length=(1, 1000)),
        Setting('poolings', [str], 'Poolings to choose from: `mean`, `time`.', choices=POOLINGS, length=(1, 2)),
        Setting('held_out', float, 'Share of each training class on which settings are chosen.', above=0, most=0.9),
    )
)
FROZEN_SWEEP = RECIPE + Settings(
    (
        *_VIEW,
        Setting('learning_rates', [float], 'Learning rates to choose from.', above=0, length=(1, 1000)),
        Setting('weight_decays', [float], 'Weight decays to choose from.', least=0, length=(1, 1000)),
        Setting('poolings', [str], 'Poolings to choose from: `mean`, `time`.', choices=POOLINGS, length=(1, 2)),
        Setting('epochs', int, 'Passes over the training features.', least=1),
        Setting('step_clips', int, 'Training clips per optimizer step.', least=1),
        Setting('held_out', float, 'Share of each training class on which settings are chosen.', above=0, most=0.9),
    )
)
FROZEN_LINEAR = RECIPE + Settings(
    (
        *_VIEW,
        Setting(
            'strengths', [float], 'Inverse strengths of the regularisation to choose from.', above=0, length=(1, 1000)
        ),
        Setting('folds', int, 'Folds of the cross-validation that chooses the strength.', least=2),
        Setting(
            'least_predictions',
            int,
            'Held-out predictions per strength; with fewer training clips the folds are drawn again.',
            least=1,
        ),
        Setting('max_iterations', int, 'Most iterations of the solver.', least=1),
    )
)
