"""VideoMAE, ViT-S, Kinetics-400, 1600 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/videomae_vit-s_k400.py 8

Expected: 79.0 top-1 after fine-tuning (VideoMAE model zoo). Not run here.
This is the number SIGMA compares with. The scripts for ViT-B use a batch of 2048.
By FLOP count: 64 GFLOP per clip; 1600 epochs of 240,436 videos take 28 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-s.py',
    '../_base_/pretrain_data_k400.py',
    '../_base_/pretrain_schedule_1600.py',
]

model = dict(type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
