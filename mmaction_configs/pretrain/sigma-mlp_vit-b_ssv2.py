"""SIGMA-MLP, ViT-B, Something-Something V2, 800 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-b_ssv2.py 8

Expected: 70.4 top-1 after fine-tuning (paper, SSv2 table). Not run here.
No script is published. The released file: 4 GPUs x 42 clips = 168, K = 4000, epsilon 0.05.
Here 8 x 32, and the learning rate for that; the published batch is train_dataloader.batch_size=21.
By FLOP count: 236 GFLOP per clip; 800 epochs of 168,913 videos take 36 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-b.py',
    '../_base_/pretrain_data_ssv2.py',
    '../_base_/pretrain_schedule.py',
]

model = dict(
    type='sigma.SIGMA',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.MLPProjector', out_dims=256),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=4000, epsilon=0.05),
)
