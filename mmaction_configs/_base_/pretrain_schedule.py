"""The published pretraining schedule of SIGMA and VideoMAE (sigma.md, section 2).

AdamW, betas (0.9, 0.95), weight decay 0.05 on matrices, learning rate 1.5e-4 per 256 clips of the global batch
(`auto_scale_lr` multiplies it), 40 epochs of linear warm-up from 0, then a cosine to 1/15 of the peak, per step.
Accumulated passes (`optim_wrapper.accumulative_counts`) count as part of that batch, but Sinkhorn balances the clips of
each pass on their own.
bf16 autocast, which needs no loss scaler (published: fp16 with one). Sinkhorn and the losses stay in fp32.
"""

optim_wrapper = dict(
    type='sigma.Bf16OptimWrapper',
    constructor='sigma.ParamGroups',
    optimizer=dict(type='AdamW', lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)
train_cfg = dict(type='sigma.TrainLoop', max_epochs=800)
param_scheduler = [
    dict(
        type='mmengine.LinearLR',
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=40,
        end=800,
        convert_to_iter_based=True,
    ),
]
