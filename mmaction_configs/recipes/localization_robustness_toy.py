"""`localization_robustness` on rendered videos, damaged at their own 64 pixels; it stands for nothing published."""

_base_ = 'localization_robustness.py'

recipe = dict(trained='localization_demo', working_short_side=None, batch_size=32)
