"""SIGMA-MLP on real footage: gestures, mouths and spoken words; docs/small-scale.md has the results.

    python tools/train.py mmaction_configs/pretrain/small_sigma-mlp_vit-t_words.py --amp

3 passes over 7,350 clips, 687 steps, the same for every method.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/real_model.py',
    '../_base_/real_data.py',
    '../_base_/real_schedule.py',
]

model = dict(
    type='sigma.SIGMA',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.MLPProjector', out_dims=64, hidden_dims=(256, 256, 128), tubelet=(2, 14, 14)),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=64, epsilon=0.05),
)
