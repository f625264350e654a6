"""`robustness_toy` on cells fine-tuned by `finetune_small`, for small real footage at the size of its files.

The published constants are made for a short side of 256 pixels; on files of 96 or 128 pixels the same blur or rotation
is stronger. So the numbers compare encoders with each other, and with nothing published.

    python eval/run_severe.py --suite robustness_small_real --datasets data/egogestar --encoders random NAME@FILE \
        --work-dir work_dirs/robust_real
"""

_base_ = 'robustness_toy.py'

recipe = dict(trained='finetune_small')
