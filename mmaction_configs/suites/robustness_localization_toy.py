"""`robustness_localization` on rendered videos."""

entries = [
    dict(protocol='localization', dataset='toy_localization', recipe='localization_demo'),
    dict(protocol='localization_robustness', dataset='toy_localization', recipe='localization_robustness_toy'),
]
