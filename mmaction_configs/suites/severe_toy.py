"""SEVERE's eight questions on rendered videos, in minutes on two cores; comparable to no published number."""

_domain = dict(group='domain shift', protocol='finetune')
_samples = dict(group='sample efficiency', protocol='finetune', examples=100)
_actions = dict(group='action granularity', protocol='finetune')
_tasks = dict(group='task shift')

entries = [
    dict(_domain, dataset='toy_shift', recipe='finetune_demo'),
    dict(_domain, dataset='toy_shift_hard', recipe='finetune_demo'),
    dict(_samples, dataset='toy', recipe='finetune_demo'),
    dict(_samples, dataset='toy_shift', recipe='finetune_demo'),
    dict(_actions, dataset='toy_rhythms', recipe='finetune_demo'),
    dict(_actions, dataset='toy_speeds', recipe='finetune_demo'),
    dict(_tasks, protocol='repetition_frozen', dataset='toy_repetition', recipe='repetition_frozen_demo'),
    dict(_tasks, protocol='multi_label', dataset='toy_two_movers', recipe='multi_label_demo'),
]
summary = dict(name='mean of 8')
