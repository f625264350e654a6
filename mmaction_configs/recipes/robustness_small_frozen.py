"""`robustness_small` with the linear probe of a frozen encoder."""

_base_ = 'robustness_small.py'

recipe = dict(protocol='robustness_frozen', trained='frozen_demo')
