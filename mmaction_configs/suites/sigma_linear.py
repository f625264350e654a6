"""SIGMA's linear evaluation: six datasets, a linear layer and its norm on a frozen encoder, trained with augmentation.

Published rows: `--published sigma_linear` (tools/table.py, tools/plot.py, tools/report.py). Only the recipe of SSv2 is
published; the others are choices, see docs/protocols/linear.md. HMDB51 is split 1.

    python eval/run_severe.py --suite sigma_linear --encoders vit_b@FILE --seeds 0 --work-dir work_dirs/linear
"""

entries = [
    dict(protocol='linear', dataset='ssv2', recipe='linear_{family}_ssv2'),
    dict(protocol='linear', dataset='k400', recipe='linear_{family}_k400'),
    dict(protocol='linear', dataset='ucf101', recipe='linear_{family}_ucf101'),
    dict(protocol='linear', dataset='hmdb51', recipe='linear_{family}_hmdb51'),
    dict(protocol='linear', dataset='imagenet1k', recipe='linear_{family}_in1k'),
    dict(protocol='linear', dataset='cifar100', recipe='linear_{family}_cifar100'),
]
