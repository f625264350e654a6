"""SIGMA-DINO, ViT-S, Kinetics-400, 800 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-dino_vit-s_k400.py 8

Expected: 79.4 top-1 after fine-tuning (paper, K400 table, 800 epochs). Not run here.
No script and no weights are published; K and epsilon are those of ViT-B, the teacher is ViT-B as for SSv2.
By FLOP count: 370 GFLOP per clip; 800 epochs of 240,436 videos take 80 H100-hours at 25 % of 990 TFLOP/s.
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
    projector=dict(
        type='sigma.ImageProjector',
        model='vit_base_patch16_224.dino',
        checkpoint='{{$SIGMA_WEIGHTS:weights}}/vit_base_patch16_224.dino.safetensors',
    ),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=3000, epsilon=0.05),
)
