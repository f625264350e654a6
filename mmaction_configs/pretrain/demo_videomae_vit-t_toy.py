"""Pixel VideoMAE on the rendered `toy` dataset, with the budget of the SIGMA demo.

    bash tools/dist_train.sh mmaction_configs/pretrain/demo_videomae_vit-t_toy.py 2

Not a published recipe: targets are standardised per clip, not per tubelet, because the published way learns nothing on
plain backgrounds within this budget. docs/small-scale.md says what scores to expect.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/demo_model.py',
    '../_base_/demo_data.py',
    '../_base_/demo_schedule.py',
]

model = dict(
    type='sigma.VideoMAE',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.PixelTargets', standardise='clip'),
)
