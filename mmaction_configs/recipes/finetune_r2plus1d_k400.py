"""`finetune_r2plus1d` with one clip of a video an epoch: SEVERE's count for Kinetics-400; its other values are ours."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(repeats=1)
