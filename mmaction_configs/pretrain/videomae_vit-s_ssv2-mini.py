"""VideoMAE on mini-SSv2, beside the ablations of SIGMA-MLP.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/videomae_vit-s_ssv2-mini.py 8

Expected: 56.9 top-1 after fine-tuning (ablation of the paper by a secondary source). Not run here.
The rest is in the base below, which says what is unknown about the ablation.
By FLOP count: 64 GFLOP per clip; 400 epochs of every 100,000 videos take 3 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-mlp_vit-s_ssv2-mini.py'

model = dict(_delete_=True, type='sigma.VideoMAE', encoder={{_base_.encoder}}, decoder={{_base_.decoder}})
