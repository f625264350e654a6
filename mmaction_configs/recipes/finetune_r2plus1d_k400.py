"""`finetune_r2plus1d` with one clip per video and epoch, as SEVERE does for Kinetics-400; the rest is our choice."""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(repeats=1)
