"""`finetune_vit_ssv2` with the layer decay 0.7 of SMILE's launch script."""

_base_ = 'finetune_vit_ssv2.py'

recipe = dict(layer_decay=0.7)
