"""`linear_vit_ssv2` with the clips of Kinetics-400: 16 frames at stride 4, flips, 7 x 3 views.

SIGMA prints a number for Kinetics-400 (47.5, SIGMA-DINO, ViT-B), but no launch script for it: a choice.
"""

_base_ = 'linear_vit_ssv2.py'

recipe = dict(
    sampling='published',
    stride_frames=4,
    flip=0.5,
    views=dict(num_clips=7, crops=3),
    departures=[
        dict(
            what='the recipe as a whole',
            published='a number without a launch script (SIGMA)',
            ours="SIGMA's linear recipe for SSv2 with the clips and views of its fine-tuning on Kinetics-400: a choice",
        ),
    ],
)
