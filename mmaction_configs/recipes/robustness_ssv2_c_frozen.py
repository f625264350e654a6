"""`robustness_ssv2_c` with the linear probe of a frozen encoder."""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness_ssv2-c_frozen', trained='frozen_default')
