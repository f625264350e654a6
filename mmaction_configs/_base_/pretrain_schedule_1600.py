"""`pretrain_schedule` over 1600 epochs; warm-up stays at 40 epochs."""

_base_ = 'pretrain_schedule.py'

train_cfg = dict(max_epochs=1600)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=40,
        end=1600,
        convert_to_iter_based=True,
    ),
]
