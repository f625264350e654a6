"""Settings of the protocols of repetition counting."""

from eval.settings.common import BATCH, DECODER, FRAMES, RECIPE, views
from sigma.parts import arguments
from sigma.settings import Setting, Settings

_LEARNING = (
    Setting('batch_size', int, 'Videos per step.', least=1),
    Setting('lr', float, 'Peak learning rate of the head.', above=0),
    Setting('weight_decay', float, 'Weight decay.', least=0),
    Setting('warmup_share', float, 'Share of the training that is warm-up.', least=0, most=1),
    Setting('least_share', float, 'Least share of a video that is a random part of it.', above=0, most=1),
    Setting('count_weight', float, 'Weight of the error of the count in the loss.', least=0),
)
_STEPS = Setting('num_steps', int, 'Optimizer steps.', least=1)
_SPREAD = (
    Setting('finetune', bool, 'Train the encoder too; it must be what the protocol does.'),
    Setting('num_frames', int, 'Frames that are spread over a video.', least=1),
    Setting(
        'clip_step_frames',
        int,
        "Frames from the start of one clip to that of the next; None: the encoder's number, clips side by side.",
        none=True,
        least=1,
    ),
    views(),
    DECODER,
    FRAMES,
    Setting(
        'head',
        arguments('eval.models.repetition', 'DensityHead', ('in_channels', 'num_steps', 'initial_density')),
        'The density head; keys that are not given have its defaults.',
    ),
)
REPETITION_FROZEN = RECIPE + Settings(
    (*_SPREAD, BATCH, Setting('training', Settings((_STEPS, *_LEARNING)), 'Training of the head.'))
)
REPETITION = RECIPE + Settings(
    (
        *_SPREAD,
        Setting(
            'training',
            Settings(
                (
                    Setting('epochs', int, 'Epochs.', least=1),
                    Setting('encoder_lr', float, 'Peak learning rate of the encoder.', above=0),
                    *_LEARNING,
                )
            ),
            'Training of encoder and head.',
        ),
    )
)
REPETITION_CYCLES = RECIPE + Settings(
    (
        Setting(
            'form',
            str,
            'As published, or in fractions of frames (ours).',
            choices=('severe', 'fractional'),
        ),
        DECODER,
        Setting('finetune', bool, 'Train the encoder too.'),
        Setting('min_cycles', int, 'Least count of a video.', least=1),
        Setting('flip', bool, 'Mirror half of the training parts.'),
        Setting(
            'training',
            Settings(
                (
                    Setting('epochs', int, 'Epochs.', least=1),
                    Setting('batch_size', int, 'Parts per batch.', least=1),
                    Setting('parts_per_video', int, 'Parts of a training video per epoch.', least=1),
                    Setting('longest_part', int, 'Most frames of a part.', least=1),
                    Setting('num_walk_steps', int, 'Most optimizer steps along a batch.', least=1),
                    Setting('lr', float, 'Learning rate of Adam.', above=0),
                    Setting('weight_decay', float, 'Weight decay.', least=0),
                    Setting('test_batch_size', int, 'States per forward pass at test.', least=1),
                )
            ),
            'Training of encoder and head.',
        ),
    )
)
