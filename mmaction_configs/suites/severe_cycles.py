"""`severe` with SEVERE's own way of counting, cycle localisation."""

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
    dict(protocol='repetition_cycles', dataset='ucfrep', recipe='repetition_cycles'),
    dict(protocol='multi_label', dataset='charades', recipe='multi_label_{family}'),
]
summary = dict(name='mean of 8')
