"""Training clips of the rendered `toy` dataset at 64 pixels: 16 frames, no crop, 75 % of the tubes masked.

At 90 %, only one tube of the 4 x 4 grid would stay visible, too little to predict a mover from.
"""

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='sigma.EpochSampler'),
    dataset=dict(
        type='sigma.VideoClips',
        card='toy',
        split='train',
        pipeline=[
            dict(type='sigma.OpenVideo', decoder='proved'),
            dict(type='sigma.SampleDense', num_frames=16, stride_frames=2, short='published'),
            dict(type='sigma.DecodeFrames', cache_megabytes=1000),  # the same frames every time
            dict(type='sigma.ResizeSquare', size=64),
            dict(type='sigma.TubeMask', grid=(4, 4), mask_ratio=0.75),
            dict(type='sigma.PackPretraining'),
        ],
    ),
)
