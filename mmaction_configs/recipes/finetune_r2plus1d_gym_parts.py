"""`finetune_r2plus1d` for FX-S1, UB-S1, Vault and Floor: 18 epochs, x0.3 at 7, 12, 16 (SEVERE)."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=18, milestones=(7, 12, 16))
