"""SIGMA-MLP on mini-SSv2 with K = 1000 prototypes.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-s_ssv2-mini_k1000.py 8

Expected: 59.7 top-1 after fine-tuning (ablation of the paper by a secondary source). Not run here.
The rest is in the base below, which says what is unknown about the ablation.
By FLOP count: 89 GFLOP per clip; 400 epochs of every 100,000 videos take 4 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-mlp_vit-s_ssv2-mini.py'

model = dict(loss=dict(num_prototypes=1000))
