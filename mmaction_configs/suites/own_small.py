"""Your own small data (`--datasets FOLDER`), in minutes: a linear probe, and fine-tuning on ten clips per class."""

entries = [
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
    dict(protocol='finetune', dataset='toy', recipe='finetune_small', shots=10),
]
