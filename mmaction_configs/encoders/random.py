"""A TINY transformer with RANDOM weights (4 blocks, width 128, 64 pixels): the baseline for the demo's encoders.

For a larger encoder, the baseline is its own architecture: `vit_b` without a file has random weights too.
"""

encoder = dict(
    backbone=dict(type='sigma.VideoViT', arch='tiny', image_size=64, num_frames=16, patch_size=16, tubelet_size=2),
    embed_dims=128,
    checkpoint=None,
    sha256=None,
    clip=dict(num_frames=16, stride_frames=2, size=64),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    finetune=dict(final_norm=False),  # the head has its own norm
    finetune_drop=('norm.',),
    pretraining_data=None,
    source='none',
)
