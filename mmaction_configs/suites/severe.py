"""SEVERE (ECCV 2022): eight experiments, two for each of four ways in which a downstream task differs.

Counting uses a head of ours here; `severe_cycles` counts as SEVERE does. SEVERE's in-domain reference,
UCF101 with all clips, is not part of the mean; it is in `severe_plus`.

    python eval/run_severe.py --suite severe --encoders vit_b@FILE --seeds 0 1 2 --work-dir work_dirs/severe
"""

entries = [
    # domain shift
    dict(protocol='finetune', dataset='ssv2', recipe='finetune_{family}_ssv2'),
    dict(protocol='finetune', dataset='gym99', recipe='finetune_{family}_ucf101'),
    # sample efficiency
    dict(protocol='finetune', dataset='ucf101', recipe='finetune_{family}_ucf101', examples=1000),
    dict(protocol='finetune', dataset='gym99', recipe='finetune_{family}_ucf101', examples=1000),
    # action granularity
    dict(protocol='finetune', dataset='gym_fx_s1', recipe='finetune_{family}_gym_parts'),
    dict(protocol='finetune', dataset='gym_ub_s1', recipe='finetune_{family}_gym_parts'),
    # task shift
    dict(protocol='repetition', dataset='ucfrep', recipe='repetition'),
    dict(protocol='multi_label', dataset='charades', recipe='multi_label_{family}'),
]
summary = dict(name='mean of 8')
