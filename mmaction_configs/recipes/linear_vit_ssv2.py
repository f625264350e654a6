"""A linear layer and its LayerNorm on a frozen transformer, as published by SIGMA for Something-Something V2.

From SIGMA's launch script; all that is not here is as in `finetune_vit_ssv2` (sampling, augmentation, 2 x 3 views):
    optimizer     AdamW, weight decay 0.05, 1e-3 per 256 clips of the total batch (24 x 8 x 2 = 384 there, so 1.5e-3)
    schedule      30 epochs, 5 of them warm-up from 0, cosine to 1e-6 per 256 clips
    augmentation  all of fine-tuning, two augmentations of every clip in the batch
    model         the encoder is frozen, in training mode with drop path 0.1; layer decay has nothing to act on
Published for SIGMA-DINO, ViT-B, pretrained on Kinetics-400: 20.8.
"""

_base_ = 'finetune_vit_ssv2.py'

recipe = dict(
    protocol='linear',
    layer_decay=1.0,
    epochs=30,
    batch_size=24,
    accumulate=16,
    num_sample=2,
    mix_together=24,
    trunk_mode='train',
)
