"""`finetune_vit_ssv2_videomae` for the 2400-epoch weights: 30 epochs, two augmentations of every clip in the batch."""

_base_ = 'finetune_vit_ssv2_videomae.py'

recipe = dict(epochs=30, num_sample=2)
