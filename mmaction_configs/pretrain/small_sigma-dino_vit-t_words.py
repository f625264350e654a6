"""SIGMA-DINO on real footage, with DINOv2 ViT-S/14 as its image encoder; docs/small-scale.md has the results.

    python tools/train.py mmaction_configs/pretrain/small_sigma-dino_vit-t_words.py --amp

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
    projector=dict(
        type='sigma.ImageProjector',
        model='vit_small_patch14_dinov2',
        checkpoint='{{$SIGMA_WEIGHTS:weights}}/vit_small_patch14_dinov2.safetensors',
        grid=(8, 4, 4),
        image_size=56,
    ),
    loss=dict(type='sigma.SinkhornLoss', num_prototypes=64, epsilon=0.05),
)
