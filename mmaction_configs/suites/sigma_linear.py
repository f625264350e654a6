"""SIGMA's linear evaluation: six datasets, a linear layer and its norm on a frozen encoder, trained with augmentation.

Published rows: `--published sigma_linear` (tools/table.py, tools/plot.py, tools/report.py). Only the recipe of SSv2 is
published; the others are choices, see docs/protocols/linear.md. HMDB51 is split 1.

    python eval/run_severe.py --suite sigma_linear --encoders vit_b@FILE --seeds 0 --work-dir work_dirs/linear
"""

entries = [
    dict(protocol='linear', dataset='ssv2', recipe='linear_vit_ssv2'),
    dict(protocol='linear', dataset='k400', recipe='linear_vit_k400'),
    dict(protocol='linear', dataset='ucf101', recipe='linear_vit_ucf101'),
    dict(protocol='linear', dataset='hmdb51', recipe='linear_vit_hmdb51'),
    dict(protocol='linear', dataset='imagenet1k', recipe='linear_vit_in1k'),
    dict(protocol='linear', dataset='cifar100', recipe='linear_vit_cifar100'),
]
