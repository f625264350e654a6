"""`finetune_vit_ucf101` for FX-S1, UB-S1, Vault and Floor; our choice, as no launch script is published for them."""

_base_ = 'finetune_vit_ucf101.py'
