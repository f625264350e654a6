"""`demo_schedule` over 3 epochs, for real footage."""

_base_ = 'demo_schedule.py'

train_cfg = dict(max_epochs=3)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=1,
        end=3,
        convert_to_iter_based=True,
    ),
]
