"""`small_scale` on the second rendered domain."""

entries = [
    dict(protocol='finetune', dataset='toy_shift', recipe='finetune_small', shots=10),
    dict(protocol='frozen_linear', dataset='toy_shift', recipe='frozen_demo'),
]
