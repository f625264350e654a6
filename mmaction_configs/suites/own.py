"""Your own data at published sizes: fine-tuning and a linear probe; name the data with `--datasets FOLDER`."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_vit'),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_default'),
]
