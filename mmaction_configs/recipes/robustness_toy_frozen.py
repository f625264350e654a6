"""`robustness_toy` with the linear probe of a frozen encoder."""

_base_ = 'robustness_toy.py'

recipe = dict(protocol='robustness_frozen', trained='frozen_demo')
