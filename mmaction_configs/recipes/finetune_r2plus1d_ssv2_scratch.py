"""`finetune_r2plus1d_ssv2` for random weights: weight decay 1e-4, 25 epochs, x0.3 at 12, 19, 22 (SEVERE)."""

_base_ = 'finetune_r2plus1d_ssv2.py'

recipe = dict(weight_decay=1e-4, epochs=25, milestones=(12, 19, 22))
