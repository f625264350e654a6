"""SIGMA-MLP, ViT-S, mini-SSv2, 400 epochs: the ablations start from here (K = 4000).

    SIGMA_DATA=data bash tools/dist_train.sh mmaction_configs/pretrain/sigma-mlp_vit-s_ssv2-mini.py 8

Expected: 60.3 top-1 after fine-tuning (ablation of the paper by a secondary source). Not run here.
The paper states neither backbone nor epochs. ViT-S and 400 epochs come from paths in the authors' files, which had a
cosine over 2401 epochs and 3 GPUs x 96 clips = 288. The list of mini-SSv2 is not published; prepare yours as the
folder ssv2_mini. Here 8 x 96, and the learning rate for that; theirs is train_dataloader.batch_size=36.
By FLOP count: 100 GFLOP per clip; 400 epochs of every 100,000 videos take 4 H100-hours at 25 % of 990 TFLOP/s.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/pretrain_vit-s.py',
    '../_base_/pretrain_data_ssv2.py',
    '../_base_/pretrain_schedule_400.py',
]

train_dataloader = dict(batch_size=96, dataset=dict(card='{{$SIGMA_DATA:data}}/ssv2_mini'))
model = dict(
    type='sigma.SIGMA',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.MLPProjector', out_dims=256),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=4000, epsilon=0.05),
)
