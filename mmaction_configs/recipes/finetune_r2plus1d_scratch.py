"""`finetune_r2plus1d` for random weights: 20 epochs, x0.3 at 10, 15, 18 (SEVERE)."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=20, milestones=(10, 15, 18))
