"""`finetune_vit` as published by SIGMA for Something-Something V2.

40 epochs, one frame from each of 16 segments, tested at offsets 0 and 1/2 of a segment, 2 x 3 views, no flip.
"""

_base_ = 'finetune_vit.py'

recipe = dict(
    epochs=40,
    sampling='published_segments',
    stride_frames=None,
    flip=0.0,
    views=dict(num_clips=2, crops=3),
)
