"""`robustness_ucf_p` with the linear probe of a frozen encoder."""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness_ucf-p_frozen', trained='frozen_default')
