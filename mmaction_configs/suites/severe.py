"""SEVERE (ECCV 2022): eight experiments, two for each of four ways in which a downstream task differs.

Counting uses a head of ours here; `severe_cycles` counts as SEVERE does. SEVERE's in-domain reference,
UCF101 with all clips, is not part of the mean; it is in `severe_plus`.

    python eval/run_severe.py --suite severe --encoders vit_b@FILE --seeds 0 1 2 --work-dir work_dirs/severe
"""

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
    dict(_tasks, protocol='repetition', dataset='ucfrep', recipe='repetition'),
    dict(_tasks, protocol='multi_label', dataset='charades', recipe='multi_label_{family}'),
]
summary = dict(name='mean of 8')
