"""ActivityNet-v1.3-C (CVPR 2024), class-aware, on a head trained by `localization_activitynet`."""

_base_ = 'localization_robustness.py'

recipe = dict(trained='localization_activitynet')
