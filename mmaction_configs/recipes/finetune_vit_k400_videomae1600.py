"""`finetune_vit_k400_videomae` for the 1600-epoch weights: 75 epochs, two augmentations of every clip in the batch.

Total batch 384 (64 GPUs of 6 clips), 5e-4 per 256 clips.
"""

_base_ = 'finetune_vit_k400_videomae.py'

recipe = dict(base_lr=5e-4, epochs=75, batch_size=6, mix_together=6, num_sample=2)
