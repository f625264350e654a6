"""Settings of `frozen_linear`."""

from eval.settings.common import BATCH, DECODER, FRAMES, RECIPE, views
from sigma.settings import Setting, Settings

FROZEN_LINEAR = RECIPE + Settings(
    (
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
        Setting(
            'strengths', [float], 'Inverse strengths of the regularisation to choose from.', above=0, length=(1, 1000)
        ),
        Setting(
            'held_out_share', float, 'Share of the training clips that the strength is chosen on.', above=0, most=0.9
        ),
        Setting('max_iterations', int, 'Most iterations of the solver.', least=1),
    )
)
