"""THUMOS14-C (CVPR 2024) on a head trained by `localization_thumos14`, at a short side of 256 pixels.

Do not expect the published numbers: they are from VideoMAE V2-g and I3D features of other code, and their occlusion
pastes a picture of a hand where ours draws a shape (eval/corruptions/block.py).
"""

recipe = dict(
    protocol='localization_robustness',
    trained='localization_thumos14',
    severities=(1, 2, 3),
    working_short_side=256,
    batch_size=16,
)
