"""Pixel VideoMAE on small real footage, for docs/small-scale.md, which has the results.

    python tools/train.py mmaction_configs/pretrain/small_videomae_vit-t_real.py --amp

5 passes over 2,550 videos, 395 steps; a few minutes on one core.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/demo_model.py',
    '../_base_/small_real_data.py',
    '../_base_/small_real_schedule.py',
]

model = dict(type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
