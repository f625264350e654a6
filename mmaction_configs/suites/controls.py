"""Controls on `toy`: what labels alone teach, and that appearance alone teaches nothing."""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='labels_alone'),
    dict(protocol='finetune', dataset='toy', recipe='labels_alone_shuffled'),
    dict(protocol='finetune', dataset='toy', recipe='labels_alone_single'),
]
