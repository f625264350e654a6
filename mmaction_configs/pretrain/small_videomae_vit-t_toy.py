"""Pixel VideoMAE on the rendered `toy` dataset with the budget of docs/small-scale.md: 2,400 steps.

    python tools/train.py mmaction_configs/pretrain/small_videomae_vit-t_toy.py --amp

Fifteen minutes on one core at 85 clips a second. Everything but the length is the demo's.
"""

_base_ = 'demo_videomae_vit-t_toy.py'

train_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=48)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=4,
        end=48,
        convert_to_iter_based=True,
    ),
]
