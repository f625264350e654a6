"""`robustness_toy` at the budget of docs/small-scale.md, for small real footage: name it with `--datasets FOLDER`."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_small'),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
    dict(protocol='robustness', dataset='toy', recipe='robustness_small'),
    dict(protocol='robustness_frozen', dataset='toy', recipe='robustness_small_frozen'),
]
