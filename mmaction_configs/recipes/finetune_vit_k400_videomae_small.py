"""`finetune_vit_k400_videomae` for ViT-S: 150 epochs, two augmentations of every clip in the batch.

Total batch 384 (32 GPUs of 12 clips), 5e-4 per 256 clips.
"""

_base_ = 'finetune_vit_k400_videomae.py'

recipe = dict(base_lr=5e-4, epochs=150, batch_size=12, accumulate=32, mix_together=12, num_sample=2)
