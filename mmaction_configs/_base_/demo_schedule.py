"""The demo's budget: a few minutes on two cores, the same for every method. Warm-up, then a cosine."""

optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    constructor='sigma.ParamGroups',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
)
train_cfg = dict(type='sigma.TrainLoop', max_epochs=4)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=1,
        end=4,
        convert_to_iter_based=True,
    ),
]
