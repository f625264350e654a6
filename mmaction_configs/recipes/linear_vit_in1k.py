"""`linear_vit_k400` for ImageNet-1K: every image is a clip of identical frames; one clip, three crops.

SIGMA prints a number for ImageNet-1K (45.0, SIGMA-DINO, ViT-B), but neither launch script nor how an image becomes a
clip: a choice.
"""

_base_ = 'linear_vit_k400.py'

recipe = dict(
    views=dict(num_clips=1, crops=3),
    departures=[
        dict(
            what='the recipe as a whole',
            published='a number without a launch script (SIGMA)',
            ours="SIGMA's linear recipe for SSv2 with flips and one clip x three crops: a choice",
        ),
        dict(
            what='how an image becomes a clip',
            published='not stated (SIGMA)',
            ours='the image repeated 16 times: a choice',
        ),
    ],
)
