"""`linear_demo` with a LayerNorm that has no weights: the linear layer alone learns."""

_base_ = 'linear_demo.py'

recipe = dict(protocol='linear_fixed_norm')
