"""`finetune_vit_ssv2_videomae` for ViT-S: 1e-3 per 256 clips, layer decay 0.7, 40 epochs, two augmentations.

Total batch 384 (32 GPUs of 12 clips); every clip is twice in the batch.
"""

_base_ = 'finetune_vit_ssv2_videomae.py'

recipe = dict(base_lr=1e-3, layer_decay=0.7, epochs=40, batch_size=12, accumulate=32, mix_together=12, num_sample=2)
