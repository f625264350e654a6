"""Settings of protocols that fine-tune the whole encoder: `finetune`, `multi_label`, `arrow_of_time`."""

from eval.features.views import SAMPLINGS
from eval.settings.common import DECODER, FRAMES, RECIPE, RESAMPLINGS, views
from sigma.settings import ABSENT, AtMostOne, ExactlyOne, Needs, Setting, Settings

_OPTIMIZER = (
    Setting('optimizer', str, 'Optimizer.', default='AdamW', choices=('AdamW', 'Adam', 'SGD')),
    Setting('base_lr', float, 'Peak learning rate per 256 clips of the total batch.', default=ABSENT, above=0),
    Setting('lr', float, 'Peak learning rate, whatever the batch.', default=ABSENT, above=0),
    Setting('betas', [float], 'Of AdamW and Adam.', default=ABSENT, length=2, least=0, most=1),
    Setting('momentum', float, 'Of SGD.', default=ABSENT, least=0, most=1),
    Setting('nesterov', bool, 'Nesterov momentum, with SGD.', default=False),
    Setting('weight_decay', float, 'Weight decay.', least=0),
    Setting(
        'decays',
        str,
        'Parameters with weight decay (default: matrices); sigma/engine/optim.py explains them.',
        default=ABSENT,
        choices=('matrices', 'all', 'all_but_norms'),
    ),
    Setting('layer_decay', float, 'Factor of the learning rate from one block to the one below.', 1.0, above=0, most=1),
    Setting('precision', str, 'Precision of training.', default='fp32', choices=('fp32', 'bf16')),
)
_SCHEDULE = (
    Setting('epochs', int, 'Epochs, each of `repeats` passes over the clips.', default=ABSENT, least=1),
    Setting('num_steps', int, 'Optimizer steps of the whole training, instead of epochs.', default=ABSENT, least=1),
    Setting('repeats', int, 'Passes over the clips per epoch; only with `epochs`.', default=1, least=1),
    Setting('warmup_epochs', float, 'Epochs of linear warm-up.', default=ABSENT, least=0),
    Setting('warmup_share', float, 'Share of the steps that are linear warm-up.', default=ABSENT, least=0, most=1),
    Setting(
        'warmup_lr', float, 'Learning rate that the warm-up starts from (default: 0.001 of the peak).', ABSENT, least=0
    ),
    Setting('min_lr', float, 'Learning rate that the cosine ends at (default: 0.001 of the peak).', ABSENT, least=0),
    Setting('base_min_lr', float, 'The same per 256 clips of the total batch.', default=ABSENT, least=0),
    Setting('milestones', [float], 'Epochs after which the learning rate drops, instead of a cosine.', ABSENT, above=0),
    Setting('milestone_factor', float, 'Factor at each milestone.', default=ABSENT, above=0, most=1),
)
_BATCH = (
    Setting('batch_size', int, 'Clips per forward pass and process.', least=1),
    Setting('accumulate', int, 'Forward passes per optimizer step.', default=1, least=1),
    Setting('num_sample', int, 'Augmentations of every clip in a batch.', default=1, least=1),
)
_CLIPS = (
    Setting(
        'sampling', str, 'Which frames a clip has; sigma/data/sampling.py compares them.', 'dense', choices=SAMPLINGS
    ),
    Setting('num_frames', int, "Frames of a clip (default: the encoder's).", default=None, least=1),
    Setting(
        'stride_frames',
        int,
        "Video frames from one sampled frame to the next (default: the dataset's, else the encoder's).",
        default=None,
        least=1,
    ),
    Setting(
        'clip_fps',
        float,
        "Sampled frames per second, for sampling by time (default: the dataset's rate over the stride).",
        default=None,
        above=0,
    ),
    Setting(
        'short_clips',
        str,
        'What a clip longer than its video shows, for `seconds`.',
        default='loop',
        choices=('loop', 'repeat_last'),
    ),
    Setting(
        'normalise',
        Settings(
            (
                Setting('mean', [float], 'Per channel (RGB), on the scale 0 to 255.', length=3),
                Setting('std', [float], 'Per channel (RGB), on the scale 0 to 255.', length=3, above=0),
            )
        ),
        "Mean and deviation, instead of the encoder's.",
        default=ABSENT,
    ),
    FRAMES,
    Setting('cache_megabytes', int, 'Memory of decoded training clips that each loader keeps.', default=0, least=0),
    DECODER,
)
_AUGMENTATION = (
    Setting('rand_augment', str, "RandAugment policy in timm's notation.", default=None),
    Setting('crop_area', [float], 'Least and most area of a random crop, as shares.', None, length=2, above=0, most=1),
    Setting(
        'resampling',
        str,
        "Filter of the published random crop (without it, mmaction2's crop).",
        default=ABSENT,
        choices=RESAMPLINGS,
    ),
    Setting(
        'short_side_jitter',
        [int],
        'Least and most pixels of the short side before a square crop, instead of `crop_area`.',
        default=None,
        length=2,
        least=1,
    ),
    Setting(
        'flip',
        float,
        "Probability of a horizontal flip; none where the dataset's card forbids it.",
        0.0,
        least=0,
        most=1,
    ),
    Setting('flip_anyway', bool, "Flip although the dataset's card says that this changes labels.", default=False),
    Setting(
        'colour_jitter',
        [float],
        'Strength of brightness, contrast, saturation and hue.',
        default=None,
        length=4,
        least=0,
    ),
    Setting('erase', float, 'Probability of random erasing.', default=0.0, least=0, most=1),
    Setting('mixup', float, 'Alpha of mixup; 0 is none.', default=0.0, least=0),
    Setting('cutmix', float, 'Alpha of cutmix; 0 is none.', default=0.0, least=0),
    Setting('mix_switch', float, 'Probability of cutmix, where both are used.', default=0.5, least=0, most=1),
    Setting('mix_together', int, 'Videos per draw of mixup or cutmix (default: the batch).', default=ABSENT, least=2),
)
_MODEL = (
    Setting('drop_path', float, 'Drop path of the last block.', default=0.0, least=0, most=1),
    Setting('head_dropout', float, 'Dropout before the linear layer.', least=0, most=1),
    Setting(
        'head_init_scale',
        float,
        'Factor of the initial linear weights; None: the default of torch.',
        none=True,
        above=0,
    ),
    Setting('head_norm', bool, 'LayerNorm before the linear layer.', default=True),
    Setting('label_smoothing', float, 'Label smoothing.', least=0, most=1),
)
_TEST = (
    views(),
    Setting('test_batch_size', int, 'Videos per forward pass at test.', least=1),
    Setting('checkpoint_epochs', int, 'Epochs from one checkpoint to the next.', least=1),
)
FINETUNE = RECIPE + Settings(
    (*_OPTIMIZER, *_SCHEDULE, *_BATCH, *_CLIPS, *_AUGMENTATION, *_MODEL, *_TEST),
    (
        ExactlyOne(('base_lr', 'lr')),
        ExactlyOne(('epochs', 'num_steps')),
        ExactlyOne(('betas', 'momentum')),
        AtMostOne(('warmup_epochs', 'warmup_share')),
        AtMostOne(('min_lr', 'base_min_lr', 'milestones')),
        AtMostOne(('crop_area', 'short_side_jitter')),
        Needs('base_min_lr', 'base_lr'),
        Needs('milestones', 'milestone_factor'),
        Needs('milestone_factor', 'milestones'),
        Needs('milestones', 'epochs'),
        Needs('repeats', 'epochs'),
    ),
)
