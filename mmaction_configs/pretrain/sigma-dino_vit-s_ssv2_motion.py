"""SIGMA-DINO, ViT-S, Something-Something V2, 2400 epochs, motion-guided masks.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-dino_vit-s_ssv2_motion.py 8

Expected: not published. Not run here.
The masks are MGMAE's; SIGMA's code has none. Flow is DIS instead of RAFT-small (sigma/data/motion.py).
Everything but the masks is in the base below. Its `codec_pipeline` follows the motion vectors of H.264 instead.
By FLOP count: 370 GFLOP per clip; 2400 epochs of 168,913 videos take 168 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-dino_vit-s_ssv2.py'

train_dataloader = dict(dataset=dict(pipeline={{_base_.motion_pipeline}}))
