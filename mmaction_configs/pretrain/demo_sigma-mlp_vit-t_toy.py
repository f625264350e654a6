"""SIGMA-MLP on the rendered `toy` dataset: shows that everything works, in a few minutes on two cores.

    bash tools/dist_train.sh mmaction_configs/pretrain/demo_sigma-mlp_vit-t_toy.py 2

Not a published recipe. K and the learning rate follow the number of tokens. docs/small-scale.md says why, and what
scores to expect.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/demo_model.py',
    '../_base_/demo_data.py',
    '../_base_/demo_schedule.py',
]

model = dict(
    type='sigma.SIGMA',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.MLPProjector', out_dims=64, hidden_dims=(256, 256, 128)),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=64, epsilon=0.05),
)
