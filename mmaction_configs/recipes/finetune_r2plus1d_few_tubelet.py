"""`finetune_r2plus1d` as tubelet-contrast publishes it for the 1000-clip sets: 18 epochs, x0.3 at 8, 13, 16."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=18, milestones=(8, 13, 16))
