"""Mini SSV2-C (NeurIPS Datasets and Benchmarks 2021) on a cell fine-tuned by `finetune_{family}_ssv2`.

Videos are corrupted at a short side of 256 pixels.
"""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness_ssv2-c', trained='finetune_{family}_ssv2')
