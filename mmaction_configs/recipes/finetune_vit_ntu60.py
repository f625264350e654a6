"""`finetune_vit_ucf101` for NTU60: our choice, since no launch script for it is published."""

_base_ = 'finetune_vit_ucf101.py'
