"""Your own data at published sizes: fine-tuning and a linear probe; name the data with `--datasets FOLDER`.

A published dataset is fine-tuned by the recipe that its card names.
"""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_{family}'),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_default'),
]
