"""`localization_robustness` on rendered videos, damaged at their own 64 pixels; comparable to no published number."""

_base_ = 'localization_robustness.py'

recipe = dict(trained='localization_demo', working_short_side=None, batch_size=32)
