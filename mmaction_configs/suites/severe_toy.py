"""SEVERE's eight questions on rendered videos, in minutes on two cores; comparable to no published number."""

entries = [
    dict(protocol='finetune', dataset='toy_shift', recipe='finetune_demo'),
    dict(protocol='finetune', dataset='toy_shift_hard', recipe='finetune_demo'),
    dict(protocol='finetune', dataset='toy', recipe='finetune_demo', examples=100),
    dict(protocol='finetune', dataset='toy_shift', recipe='finetune_demo', examples=100),
    dict(protocol='finetune', dataset='toy_rhythms', recipe='finetune_demo'),
    dict(protocol='finetune', dataset='toy_speeds', recipe='finetune_demo'),
    dict(protocol='repetition_frozen', dataset='toy_repetition', recipe='repetition_frozen_demo'),
    dict(protocol='multi_label', dataset='toy_two_movers', recipe='multi_label_demo'),
]
summary = dict(name='mean of 8')
