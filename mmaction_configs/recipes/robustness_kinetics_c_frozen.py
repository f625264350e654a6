"""`robustness_kinetics_c` with the linear probe of a frozen encoder."""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness_kinetics-c_frozen', trained='frozen_default')
