"""The fine-tuned demo under twelve corruptions at five severities.

The rendered videos are corrupted at their own 64 pixels, where the published constants are stronger. So the numbers
compare encoders with each other, and with nothing published.
"""

recipe = dict(
    protocol='robustness',
    trained='finetune_demo',
    corruptions=(
        *('gaussian_noise', 'impulse_noise'),
        *('gaussian_blur', 'motion_blur', 'frame_average'),
        'fog',
        *('contrast', 'brightness', 'jpeg_compression'),
        *('random_rotation', 'jumble', 'freeze'),
    ),
    severities=(1, 2, 3, 4, 5),
    working_short_side=None,
    diagnostics=(('clip_reverse', 1), ('clip_shuffle', 1), ('clip_freeze', 5)),
    block_videos=50,
)
