"""`finetune_vit_ssv2_videomae` for the 2400-epoch weights: 30 epochs, two augmentations of every clip in the batch.

Total batch 384 (64 GPUs of 6 clips), so the learning rate is 7.5e-4.
"""

_base_ = 'finetune_vit_ssv2_videomae.py'

recipe = dict(epochs=30, batch_size=6, mix_together=6, num_sample=2)
