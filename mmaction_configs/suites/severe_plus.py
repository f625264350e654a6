"""What SEVERE's code and SEVERE++ measure in addition to the eight: more datasets, more clips, the arrow of time."""

_ucf101 = dict(protocol='finetune', recipe='finetune_{family}_ucf101')
_gym_parts = dict(protocol='finetune', recipe='finetune_{family}_gym_parts')
_domain, _samples = dict(group='domain shift'), dict(group='sample efficiency')
_actions, _tasks = dict(group='action granularity'), dict(group='task shift')
_ladder = (1000, 2000, 4000, 8000)

entries = [
    dict(_ucf101, dataset='ucf101', group='in domain'),
    dict(_domain, **_ucf101, dataset='hmdb51'),
    dict(_domain, **_ucf101, dataset='diving48'),
    dict(_domain, protocol='finetune', dataset='ntu60', recipe='finetune_{family}_ntu60'),
    dict(_actions, **_ucf101, dataset='gym288'),
    dict(_actions, **_gym_parts, dataset='gym_vault'),
    dict(_actions, **_gym_parts, dataset='gym_floor'),
    *[dict(_samples, **_ucf101, dataset='ucf101', examples=number) for number in _ladder],
    *[dict(_samples, **_ucf101, dataset='gym99', examples=number) for number in _ladder],
    dict(_samples, **_ucf101, dataset='gym99'),
    dict(_tasks, protocol='arrow_of_time', dataset='ucf101', recipe='arrow_of_time_{family}'),
]
