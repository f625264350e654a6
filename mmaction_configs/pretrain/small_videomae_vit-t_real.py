"""Pixel VideoMAE on small real footage, for docs/small-scale.md, which holds what came out.

    python tools/train.py mmaction_configs/pretrain/small_videomae_vit-t_real.py --amp

5 passes over 2,550 videos, 395 steps; some minutes on one core.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/demo_model.py',
    '../_base_/small_real_data.py',
    '../_base_/demo_schedule.py',
]

model = dict(type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
train_cfg = dict(max_epochs=5)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=1,
        end=5,
        convert_to_iter_based=True,
    ),
]
