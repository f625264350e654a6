"""Shows that everything works: few-shot fine-tuning and a linear probe on rendered videos, on two cores."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_demo', shots=10),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
]
