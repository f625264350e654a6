"""Temporal action localization on frozen features, class-aware: THUMOS-14 and ActivityNet-1.3.

`localization_external` and `localization_bmn_external`, where another model's video-level scores name the classes,
need a file of yours and are in no suite; see docs/localization.md.
"""

entries = [
    dict(protocol='localization', dataset='thumos14', recipe='localization_thumos14'),
    dict(protocol='localization', dataset='activitynet', recipe='localization_activitynet'),
    dict(protocol='localization_bmn', dataset='activitynet', recipe='localization_bmn_activitynet'),
]
