"""`linear_vit_in1k` for CIFAR-100, whose images of 32 x 32 pixels are enlarged to the encoder's size; one crop.

SIGMA prints a number for CIFAR-100 (66.7, SIGMA-DINO, ViT-B), but neither launch script nor how an image becomes a
clip: a choice.
"""

_base_ = 'linear_vit_in1k.py'

recipe = dict(
    views=dict(num_clips=1, crops=1),
    departures=[
        dict(
            what='the recipe as a whole',
            published='a number without a launch script (SIGMA)',
            ours="SIGMA's linear recipe for SSv2 with flips and one view: a choice",
        ),
        dict(
            what='how an image becomes a clip',
            published='not stated (SIGMA)',
            ours='the image enlarged (bilinear) and repeated 16 times: a choice',
        ),
    ],
)
