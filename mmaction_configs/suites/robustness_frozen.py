"""`robustness` with the linear probe of a frozen encoder, without ImageNet-C."""

entries = [
    dict(protocol='robustness_ucf-p_frozen', dataset='ucf101', recipe='robustness_ucf_p_frozen'),
    dict(protocol='robustness_kinetics-c_frozen', dataset='ucf101', recipe='robustness_kinetics_c_frozen'),
    dict(protocol='robustness_ssv2-c_frozen', dataset='ssv2', recipe='robustness_ssv2_c_frozen'),
]
