"""Corrupted rendered videos, for the fine-tuned and the frozen encoder of the demo."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_demo'),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
    dict(protocol='robustness', dataset='toy', recipe='robustness_toy'),
    dict(protocol='robustness_frozen', dataset='toy', recipe='robustness_toy_frozen'),
]
