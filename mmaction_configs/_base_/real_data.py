"""Training clips of real footage, 16 frames evenly from the whole clip, squeezed to 56 pixels.

Three prepared folders (docs/small-scale.md): gestures (150 videos), mouths (2,400) and words (4,800). No flips: left is
not right.
"""

_base_ = 'small_real_data.py'

train_dataloader = dict(
    dataset=dict(
        card=['{{$SIGMA_DATA:data}}/egogestar', '{{$SIGMA_DATA:data}}/miracl', '{{$SIGMA_DATA:data}}/grid_words'],
        pipeline=[
            dict(type='sigma.OpenVideo', decoder='proved'),
            dict(type='sigma.SampleSegments', num_frames=16),
            dict(type='sigma.DecodeFrames'),
            dict(type='sigma.MultiScaleCrop', size=56),
            dict(type='sigma.TubeMask', grid=(4, 4), mask_ratio=0.75),
            dict(type='sigma.PackPretraining'),
        ],
    ),
)
