"""`finetune_vit_ucf101` for FX-S1, UB-S1, Vault and Floor: our choice, since no launch script for them is published."""

_base_ = 'finetune_vit_ucf101.py'
