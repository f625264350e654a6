"""VideoMAE, ViT-B, Kinetics-400, 800 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/videomae_vit-b_k400.py 8

Expected: 80.0 top-1 after fine-tuning (VideoMAE model zoo). Not run here.
Published on 64 GPUs x 32 clips = 2048; the learning rate follows the global batch. 81.5 at 1600 epochs.
By FLOP count: 202 GFLOP per clip; 800 epochs of 240,436 videos take 44 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-b.py',
    '../_base_/pretrain_data_k400.py',
    '../_base_/pretrain_schedule.py',
]

model = dict(type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
