"""`finetune_r2plus1d_scratch` on FX-S1 and UB-S1: learning rate 1e-5 (SEVERE). Its epochs there are not stated; taken
from the other small data sets."""

_base_ = 'finetune_r2plus1d_scratch.py'

recipe = dict(lr=1e-5)
