"""VideoMAE, ViT-B, Something-Something V2, 800 epochs.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/videomae_vit-b_ssv2.py 8

Expected: 69.6 top-1 after fine-tuning (VideoMAE model zoo). Not run here.
Published on 64 GPUs x 32 clips = 2048; the learning rate follows the global batch. 70.8 at 2400 epochs.
By FLOP count: 202 GFLOP per clip; 800 epochs of 168,913 videos take 31 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-b.py',
    '../_base_/pretrain_data_ssv2.py',
    '../_base_/pretrain_schedule.py',
]

model = dict(type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
