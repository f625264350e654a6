"""The mixed perturbations of UCF101-P (CVPR 2023): in each video one of its spatial, or one of its temporal ones.

The published test draws severity 4 or 5 a video; here each is measured, and the mean is over both. Members are its own.
"""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness', corruptions=('mixed_spatial', 'mixed_temporal'), severities=(4, 5))
