"""Settings of the protocols of temporal localization."""

from eval.settings.common import BATCH, RECIPE
from sigma.parts import Part, arguments
from sigma.settings import Setting, Settings

_VIEW = Setting(
    'view',
    Settings(
        (
            Setting('step_frames', int, "Frames from clip to clip (default: the dataset's).", default=None, least=1),
            Setting(
                'stride_frames', int, "Frames from one sampled frame to the next (default: the card's).", None, least=1
            ),
            Setting(
                'resize',
                str,
                'The whole frame as a square, or the short side resized, then a centre crop.',
                default='short_side',
                choices=('square', 'short_side'),
            ),
        )
    ),
    'Clips that are cut from a video.',
)
_STANDARDISE = Setting('standardise', bool, 'Subtract the mean over the video and divide by the deviation.')
_FEATURES = (BATCH, _VIEW, _STANDARDISE)
_EXTERNAL = Setting(
    'external',
    Settings(
        (
            Setting('scores', str, "JSON file of another model's video-level scores."),
            Setting('top', int, 'Classes per proposal.', least=1),
        )
    ),
    'Who names the classes, where the head does not; for the protocols that end in `_external`.',
    default=None,
)
_LENGTH = Setting('length', int, 'Steps to which every video is resized; None keeps its own.', none=True, least=1)
_TARGETS = Settings(
    (
        Setting('whole_frames', bool, 'Round ends down to whole frames.'),
        Setting('least_share', float, 'Leave out segments of at most this share of their video.', least=0, most=1),
        Setting('empty_videos', bool, 'Learn from videos without a segment too.'),
    )
)
_TRAINING = Settings(
    (
        Setting('epochs', int, 'Epochs.', least=1),
        Setting('warmup_epochs', float, 'Epochs of warm-up.', least=0),
        Setting('batch_size', int, 'Videos per step.', least=1),
        Setting('drop_last', bool, 'Leave out the last batch of an epoch if it is not full.', default=False),
        Setting('lr', float, 'Peak learning rate.', above=0),
        Setting('weight_decay', float, 'Weight decay.', least=0),
        Setting('ema_decay', float, 'Share of the moving average that stays at each step.', least=0, most=1),
        Setting('clip_norm', float, 'Largest norm of the gradient; None: no limit.', none=True, above=0),
        Setting(
            'crop',
            [float],
            'Least and most share of a video in a random crop; None: no crop.',
            none=True,
            length=2,
            above=0,
            most=1,
        ),
    )
)
_SUPPRESSION = Settings(
    (
        Setting('sigma', float, 'Of Gaussian soft-NMS; smaller suppresses more.', above=0),
        Setting('most', int, 'Segments that are kept.', least=1),
        Setting('class_wise', bool, 'Each class on its own.', default=True),
        Setting('voting', float, 'IoU from which segments vote, with class_wise=False; 0 is none.', 0, least=0, most=1),
        Setting(
            'class_wise_voting', float, 'IoU from which segments vote within a class; 0 is none.', 0, least=0, most=1
        ),
        Setting('before', int, 'Best segments to start from.', least=1),
        Setting('least_before', float, 'Least score of the segments to start from.', default=1e-3, least=0, most=1),
        Setting(
            'least_score', float, 'Segments whose score falls below it are dropped.', default=1e-3, least=0, most=1
        ),
        Setting('shortest_steps', float, 'Leave out segments of at most so many steps; None: none.', None, least=0),
    )
)
LOCALIZATION = RECIPE + Settings(
    (
        *_FEATURES,
        _LENGTH,
        Setting('longest', int, 'Steps to which longer videos are cropped in training; None: all.', none=True, least=1),
        Setting('targets', _TARGETS, 'What the head learns from.'),
        Setting(
            'head',
            arguments('eval.models.actionformer', 'ActionFormer', ('feature_width', 'num_classes')),
            'The ActionFormer head; keys that are not given have its defaults.',
        ),
        Setting('training', _TRAINING, 'Training of the head.'),
        Setting('suppression', _SUPPRESSION, 'How detections become the answer.'),
        _EXTERNAL,
    )
)
LOCALIZATION_BMN = RECIPE + Settings(
    (
        *_FEATURES,
        Setting('length', int, "Steps to which every video is resized; that of BMN's `temporal_dim`.", least=1),
        Setting('head', Part('feat_dim', 'feature_extraction_interval'), "mmaction2's BMN and its arguments."),
        Setting(
            'training',
            Settings(
                (
                    Setting('epochs', int, 'Epochs.', least=1),
                    Setting('batch_size', int, 'Videos per step.', least=1),
                    Setting('lr', float, 'Learning rate of Adam.', above=0),
                    Setting('weight_decay', float, 'Weight decay.', least=0),
                    Setting('milestone', int, 'Epoch from which the learning rate is a tenth.', least=1),
                    Setting('clip_norm', float, 'Largest norm of the gradient; None: no limit.', none=True, above=0),
                )
            ),
            'Training of BMN.',
        ),
        Setting(
            'naming',
            Settings(
                (
                    Setting('strength', float, 'Inverse of the regularisation of the classifier.', above=0),
                    Setting('top', int, 'Classes per proposal.', least=1),
                )
            ),
            'The classifier of proposals.',
        ),
        _EXTERNAL,
    )
)
