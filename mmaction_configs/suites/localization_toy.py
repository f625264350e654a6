"""Temporal action localization with both heads, on rendered videos."""

entries = [
    dict(protocol='localization', dataset='toy_localization', recipe='localization_demo'),
    dict(protocol='localization_bmn', dataset='toy_localization', recipe='localization_bmn_demo'),
]
