"""VideoMAE, ViT-S, Something-Something V2, 2400 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/videomae_vit-s_ssv2.py 8

Expected: 66.8 top-1 after fine-tuning (VideoMAE model zoo). Not run here.
This is the number SIGMA compares with. The scripts for ViT-B use a batch of 2048.
By FLOP count: 64 GFLOP per clip; 2400 epochs of 168,913 videos take 29 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-s.py',
    '../_base_/pretrain_data_ssv2.py',
    '../_base_/pretrain_schedule_2400.py',
]

model = dict(type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
