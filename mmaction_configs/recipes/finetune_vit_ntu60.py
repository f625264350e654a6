"""`finetune_vit_ucf101` for NTU60; our choice, as no launch script is published for it."""

_base_ = 'finetune_vit_ucf101.py'
