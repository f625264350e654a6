"""Training clips as published: 16 frames, multi-scale crop to 224, no flip, 0.9 of the tubes masked.

Something-Something V2, stride 2.
"""

train_dataloader = dict(
    batch_size=32,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='sigma.EpochSampler'),
    dataset=dict(
        type='sigma.VideoClips',
        card='{{$SIGMA_DATA:data}}/ssv2',
        split='train',
        pipeline=[
            dict(type='sigma.OpenVideo', decoder='decord'),
            dict(type='sigma.SampleDense', num_frames=16, stride_frames=2),
            dict(type='sigma.DecodeFrames'),
            dict(type='sigma.MultiScaleCrop', size=224),
            dict(type='sigma.TubeMask', grid=(14, 14), mask_ratio=0.9),
            dict(type='sigma.PackPretraining'),
        ],
    ),
)
