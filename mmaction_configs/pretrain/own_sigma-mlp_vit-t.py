"""SIGMA-MLP of a tiny encoder on your own videos, on a laptop: 300 steps of 32 clips, however many videos there are.

    python tools/train.py mmaction_configs/pretrain/own_sigma-mlp_vit-t.py --data data/mine --work-dir work_dirs/mine

Not a published recipe. Clips are 16 frames of 64 pixels at stride 2, as those of `random`, which has the same
architecture with random weights. No flips: left may not be right. For more steps: `--cfg-options
train_cfg.max_steps=3000`.
"""

_base_ = ['../_base_/default_runtime.py', '../_base_/demo_model.py', '../_base_/demo_schedule.py']

model = dict(
    type='sigma.SIGMA',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.MLPProjector', out_dims=64, hidden_dims=(256, 256, 128)),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=64, epsilon=0.05),
)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='sigma.EpochSampler', repeats=10),  # an epoch is ten passes, so that small folders fill batches
    dataset=dict(
        type='sigma.VideoClips',
        card='{{$SIGMA_DATA:data}}/mine',
        split='train',
        pipeline=[
            dict(type='sigma.OpenVideo', decoder='proved'),
            dict(type='sigma.SampleDense', num_frames=16, stride_frames=2, short='repeat_last'),
            dict(type='sigma.DecodeFrames'),
            dict(type='sigma.MultiScaleCrop', size=64),
            dict(type='sigma.TubeMask', grid=(4, 4), mask_ratio=0.75),
            dict(type='sigma.PackPretraining'),
        ],
    ),
)
default_hooks = dict(checkpoint=dict(interval_seconds=30))  # a kill costs at most half a minute
train_cfg = dict(_delete_=True, type='sigma.TrainLoop', max_steps=300)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=40),
    dict(type='mmengine.CosineAnnealingLR', eta_min_ratio=1 / 15, by_epoch=False, begin=40, end=300),
]
