"""`finetune_vit` under the name that suites use for Kinetics-400."""

_base_ = 'finetune_vit.py'
