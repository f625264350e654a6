"""`finetune_r2plus1d` for the 1000-clip sets as published by tubelet-contrast: 18 epochs, x0.3 at 8, 13, 16."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=18, milestones=(8, 13, 16))
