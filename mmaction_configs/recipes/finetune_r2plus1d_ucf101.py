"""`finetune_r2plus1d` under the name that suites use.

SEVERE trains UCF101, HMDB51, Gym99, Gym288, Diving48 and the 1000-clip sets alike.
"""

_base_ = 'finetune_r2plus1d.py'
