"""SIGMA's full fine-tuning on Something-Something V2 and Kinetics-400, as in its paper.

Published rows: `--published sigma_finetune` (tools/plot.py, tools/report.py).

    python eval/run_severe.py --suite sigma_finetune --encoders vit_b@FILE --seeds 0 --work-dir work_dirs/full
"""

entries = [
    dict(protocol='finetune', dataset='ssv2', recipe='finetune_{family}_ssv2'),
    dict(protocol='finetune', dataset='k400', recipe='finetune_{family}_k400'),
]
