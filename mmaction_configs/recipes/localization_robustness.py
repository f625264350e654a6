"""THUMOS14-C (CVPR 2024) on a head of `localization_thumos14`, at a short side of 256 pixels.

The published numbers are of VideoMAE v2-g and I3D features of other code; their occlusion pastes a picture of a hand,
ours draws a shape (eval/corruptions/block.py). So they are near ours at best.
"""

recipe = dict(
    protocol='localization_robustness',
    trained='localization_thumos14',
    severities=(1, 2, 3),
    working_short_side=256,
    batch_size=16,
)
