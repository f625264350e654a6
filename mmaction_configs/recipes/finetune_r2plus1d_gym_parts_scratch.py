"""`finetune_r2plus1d_gym_parts` for random weights on FX-S1 and UB-S1: weight decay 1e-5 (SEVERE).

On Vault and Floor SEVERE has no decay from scratch either: that is `finetune_r2plus1d_gym_parts` itself.
"""

_base_ = 'finetune_r2plus1d_gym_parts.py'

recipe = dict(weight_decay=1e-5)
