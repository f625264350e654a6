"""`finetune_vit_ssv2` as published by VideoMAE for its 800-epoch weights.

Total batch 512, 5e-4 per 256 clips, 50 epochs, crops of 0.08-1 of the area (SIGMA: 0.25-1).
"""

_base_ = 'finetune_vit_ssv2.py'

recipe = dict(base_lr=5e-4, epochs=50, batch_size=8, accumulate=64, mix_together=8, crop_area=(0.08, 1.0))
