"""Fine-tuning and a linear probe on small real footage: name it with `--datasets FOLDER`."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_small'),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
]
