"""Pixel VideoMAE on real footage: gestures, mouths and spoken words; docs/small-scale.md has the results.

    python tools/train.py mmaction_configs/pretrain/small_videomae_vit-t_words.py --amp

3 passes over 7,350 clips, 687 steps, the same for every method.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/real_model.py',
    '../_base_/real_data.py',
    '../_base_/real_schedule.py',
]

model = dict(
    type='sigma.VideoMAE',
    encoder={{_base_.encoder}},
    decoder={{_base_.decoder}},
    projector=dict(type='sigma.PixelTargets', tubelet=(2, 14, 14)),
)
