"""`finetune_r2plus1d` for FX-S1, UB-S1, Vault and Floor: 18 epochs, x0.3 at 7, 12, 16 (SEVERE).

From random weights it is SEVERE's recipe for Vault and Floor; FX-S1 and UB-S1 have
`finetune_r2plus1d_gym_parts_scratch`.
"""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(epochs=18, milestones=(7, 12, 16))
