"""SIGMA-DINO, ViT-B, Something-Something V2, 800 epochs, motion-guided masks.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-dino_vit-b_ssv2_motion.py 8

Expected: 71.2 top-1 after fine-tuning (paper, SSv2 table, rows with motion guidance). Not run here.
The masks are MGMAE's; SIGMA's code has none. Flow is DIS instead of RAFT-small (sigma/data/motion.py). The released
file (epsilon 0.03) is 42 MB smaller than its siblings, so it may be truncated.
Everything but the masks is in the base below. Its `codec_pipeline` follows the motion vectors of H.264 instead.
By FLOP count: 507 GFLOP per clip; 800 epochs of 168,913 videos take 77 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-dino_vit-b_ssv2.py'

train_dataloader = dict(dataset=dict(pipeline={{_base_.motion_pipeline}}))
