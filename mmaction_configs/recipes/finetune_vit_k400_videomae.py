"""`finetune_vit` as published by VideoMAE for Kinetics-400 and its 800-epoch weights.

Total batch 512 (learning rate 2e-3), crops of 0.08-1 of the area (SIGMA: 0.25-1), 5 x 3 views. VideoMAE's 64 GPUs of
8 clips become 64 accumulated passes here; on a larger GPU, take more clips per pass and accumulate fewer.
"""

_base_ = 'finetune_vit.py'

recipe = dict(batch_size=8, accumulate=64, mix_together=8, crop_area=(0.08, 1.0), views=dict(num_clips=5))
