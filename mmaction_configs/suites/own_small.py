"""Your own data, a small encoder, minutes: a linear probe, and fine-tuning on ten clips per class (`--datasets FOLDER`)."""

entries = [
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
    dict(protocol='finetune', dataset='toy', recipe='finetune_small', shots=10),
]
