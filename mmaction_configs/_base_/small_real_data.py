"""Training clips of small real footage: 16 segments of the whole video, the whole frame squeezed to 64 pixels.

Two folders that `tools/prepare.py folder` made: gestures (150 videos) and mouths (2,400). No flips: left is not right.
"""

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='sigma.EpochSampler'),
    dataset=dict(
        type='sigma.VideoClips',
        card=['{{$SIGMA_DATA:data}}/egogestar', '{{$SIGMA_DATA:data}}/miracl'],
        split='train',
        pipeline=[
            dict(type='sigma.OpenVideo', decoder='proved'),
            dict(type='sigma.SampleSegments', num_frames=16),
            dict(type='sigma.DecodeFrames'),
            dict(type='sigma.MultiScaleCrop', size=64),
            dict(type='sigma.TubeMask', grid=(4, 4), mask_ratio=0.75),
            dict(type='sigma.PackPretraining'),
        ],
    ),
)
