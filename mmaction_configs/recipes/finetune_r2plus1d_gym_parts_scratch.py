"""`finetune_r2plus1d_scratch` on FX-S1 and UB-S1: learning rate 1e-5 (SEVERE).

SEVERE does not state the epochs for these; they are those of the other small datasets.
"""

_base_ = 'finetune_r2plus1d_scratch.py'

recipe = dict(lr=1e-5)
