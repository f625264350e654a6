"""`finetune_vit_ssv2` with layer decay 0.7, from SMILE's launch script."""

_base_ = 'finetune_vit_ssv2.py'

recipe = dict(layer_decay=0.7)
