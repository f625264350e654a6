"""SIGMA-DINO, ViT-B, Something-Something V2, with four masks per clip and half of the masked tokens decoded.

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-dino_vit-b_ssv2_masks4-half.py 8

Expected: not published; a departure that makes a mask cheaper. Its effect on scores was not measured. Not run here.
Four masks of a clip count as four clips: 200 epochs show as many masks as 800 would, in a quarter of the steps. So
warm-up takes 10 epochs, and the learning rate is 1.5e-4 per 256 masks. `auto_scale_lr` counts clips, not masks, as the
code of MAE-ST and VideoMAE V2 does, so the factor is in the rate itself: 6e-4 per 256 clips (with four samples of a
clip, VideoMAE V2's script for ViT-g uses the same, MGMAE's 1e-3).
By FLOP count: 881 GFLOP per clip; 200 epochs of 168,913 videos take 33 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = 'sigma-dino_vit-b_ssv2.py'

train_dataloader = dict(dataset=dict(pipeline={{_base_.masks4_half_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=6e-4))
train_cfg = dict(max_epochs=200)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        by_epoch=True,
        begin=10,
        end=200,
        convert_to_iter_based=True,
    ),
]
