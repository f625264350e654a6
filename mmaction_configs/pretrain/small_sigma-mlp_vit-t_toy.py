"""SIGMA-MLP on the rendered `toy` dataset with the budget of docs/small-scale.md: 3,600 steps.

    python tools/train.py mmaction_configs/pretrain/small_sigma-mlp_vit-t_toy.py --amp

Twenty-five minutes on one core at 80 clips a second. Everything but the length is the demo's.
"""

_base_ = 'demo_sigma-mlp_vit-t_toy.py'

train_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=72)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=4,
        end=72,
        convert_to_iter_based=True,
    ),
]
