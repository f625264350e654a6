"""`severe` with SEVERE's own way of counting, cycle localisation."""

_domain = dict(group='domain shift', protocol='finetune')
_samples = dict(group='sample efficiency', protocol='finetune', examples=1000)
_actions = dict(group='action granularity', protocol='finetune')
_tasks = dict(group='task shift')

entries = [
    dict(_domain, dataset='ssv2', recipe='finetune_{family}_ssv2'),
    dict(_domain, dataset='gym99', recipe='finetune_{family}_ucf101'),
    dict(_samples, dataset='ucf101', recipe='finetune_{family}_ucf101'),
    dict(_samples, dataset='gym99', recipe='finetune_{family}_ucf101'),
    dict(_actions, dataset='gym_fx_s1', recipe='finetune_{family}_gym_parts'),
    dict(_actions, dataset='gym_ub_s1', recipe='finetune_{family}_gym_parts'),
    dict(_tasks, protocol='repetition_cycles', dataset='ucfrep', recipe='repetition_cycles'),
    dict(_tasks, protocol='multi_label', dataset='charades', recipe='multi_label_{family}'),
]
summary = dict(name='mean of 8')
