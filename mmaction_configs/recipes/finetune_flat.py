"""`finetune_vit` without layer decay, for encoders whose parameters name no blocks, such as convolutional ones."""

_base_ = 'finetune_vit.py'

recipe = dict(layer_decay=1.0)
