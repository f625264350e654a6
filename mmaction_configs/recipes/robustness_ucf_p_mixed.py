"""The mixed perturbations of UCF101-P (CVPR 2023): per video, one of its spatial or one of its temporal ones.

The published test draws severity 4 or 5 for each video. We measure both and report their mean. The members are those of
UCF101-P.
"""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness', corruptions=('mixed_spatial', 'mixed_temporal'), severities=(4, 5))
