"""`finetune_r2plus1d_ssv2` for random weights: 25 epochs, x0.3 at 12, 19, 22 (SEVERE)."""

_base_ = 'finetune_r2plus1d_ssv2.py'

recipe = dict(epochs=25, milestones=(12, 19, 22))
