"""`finetune_r2plus1d_ssv2` with SEVERE's horizontal flip, which changes some labels ("from left to right")."""

_base_ = 'finetune_r2plus1d_ssv2.py'

recipe = dict(flip_anyway=True, departures=[])
