"""SIGMA-MLP on mini-SSv2 with L2 on features instead of Sinkhorn: it collapses.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-s_ssv2-mini_l2.py 8

Expected: 36.4 top-1 after fine-tuning (ablation of the paper by a secondary source). Not run here.
The released code refuses this combination. Watch `target_std` fall. All but the loss is in the base below.
By FLOP count: 85 GFLOP per clip; 400 epochs of every 100,000 videos take 4 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-mlp_vit-s_ssv2-mini.py'

model = dict(loss=dict(_delete_=True, type='sigma.FeatureL2'))
