"""`finetune_default` without layer decay, for encoders whose parameters name no blocks (convolutional ones)."""

_base_ = 'finetune_default.py'

recipe = dict(layer_decay=1.0)
