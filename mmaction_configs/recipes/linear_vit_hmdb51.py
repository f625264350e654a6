"""`linear_vit_k400` for HMDB51, split 1, with 5 x 3 views.

SIGMA prints a number for HMDB51 (52.3, SIGMA-DINO, ViT-B), but no launch script for it: a choice.
"""

_base_ = 'linear_vit_k400.py'

recipe = dict(
    views=dict(num_clips=5, crops=3),
    departures=[
        dict(
            what='the recipe as a whole',
            published='a number without a launch script (SIGMA)',
            ours="SIGMA's linear recipe for SSv2 with dense clips of 16 frames at stride 4 and 5 x 3 views: a choice",
        ),
    ],
)
