"""SIGMA-MLP, ViT-S, Kinetics-400, 800 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-s_k400.py 8

Expected: not published. Not run here.
Ours, to complete the table: 800 epochs as SIGMA-DINO with ViT-S, K and epsilon as the MLP with ViT-B.
By FLOP count: 100 GFLOP per clip; 800 epochs of 240,436 videos take 22 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-s.py',
    '../_base_/pretrain_data_k400.py',
    '../_base_/pretrain_schedule.py',
]

model = dict(
    type='sigma.SIGMA',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.MLPProjector', out_dims=256),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=4000, epsilon=0.05),
)
