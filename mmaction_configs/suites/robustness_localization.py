"""THUMOS14-C and ActivityNet-C: trained localization heads on videos whose actions are damaged in the middle."""

entries = [
    dict(protocol='localization', dataset='thumos14', recipe='localization_thumos14'),
    dict(protocol='localization_robustness', dataset='thumos14', recipe='localization_robustness'),
    dict(protocol='localization', dataset='activitynet', recipe='localization_activitynet'),
    dict(protocol='localization_robustness', dataset='activitynet', recipe='localization_robustness_activitynet'),
]
