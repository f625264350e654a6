"""SIGMA-MLP, ViT-B, Kinetics-400, 800 epochs, motion-guided masks.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-b_k400_motion.py 8

Expected: not published. Not run here.
The masks are MGMAE's; SIGMA's code has none. Flow is DIS instead of RAFT-small (sigma/data/motion.py).
Everything but the masks is in the base below. Its `codec_pipeline` follows the motion vectors of H.264 instead.
By FLOP count: 236 GFLOP per clip; 800 epochs of 240,436 videos take 51 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-mlp_vit-b_k400.py'

train_dataloader = dict(dataset=dict(pipeline={{_base_.motion_pipeline}}))
