"""SIGMA-MLP, ViT-B, Kinetics-400, 800 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-b_k400.py 8

Expected: 80.2 top-1 after fine-tuning (paper, K400 table). Not run here.
No script is published. K = 4000 follows from the size of the released file. Its epsilon is unknown; 0.05 is the default
of the code. A path in the authors' files says K = 3000.
By FLOP count: 236 GFLOP per clip; 800 epochs of 240,436 videos take 51 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-b.py',
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
