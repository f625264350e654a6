"""`demo` at the budget of docs/small-scale.md."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_small', shots=10),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
]
