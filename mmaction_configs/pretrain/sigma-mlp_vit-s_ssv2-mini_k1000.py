"""SIGMA-MLP on mini-SSv2 with K = 1000 prototypes.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-s_ssv2-mini_k1000.py 8

Expected: 59.7 top-1 after fine-tuning (ablation of the paper by a secondary source). Not run here.
All but that is the file below, whose docstring says what is not known of the ablation.
By FLOP count: 89 GFLOP a clip; 400 epochs of every 100,000 videos take 4 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-mlp_vit-s_ssv2-mini.py'

model = dict(loss=dict(num_prototypes=1000))
