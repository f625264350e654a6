"""UCF101-P (CVPR 2023) on a cell fine-tuned by `finetune_{family}_ucf101`, at a short side of 256 pixels.

Do not expect the published numbers: the published code corrupts the decoded test tensor with unseeded draws, has mixed
perturbations as another type, and trains its models differently.
"""

recipe = dict(
    protocol='robustness_ucf-p',
    trained='finetune_{family}_ucf101',
    severities=(1, 2, 3, 4, 5),
    working_short_side=256,
    diagnostics=(('clip_reverse', 1), ('clip_shuffle', 1), ('clip_freeze', 5)),
    block_videos=200,
)
