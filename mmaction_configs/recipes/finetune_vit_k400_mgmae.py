"""`finetune_vit_k400_videomae` as published by MGMAE for its ViT-B: 7e-4 per 256 clips, 90 epochs.

Total batch 512 (32 GPUs of 16 clips), layer decay 0.75, two augmentations of every clip in the batch.
"""

_base_ = 'finetune_vit_k400_videomae.py'

recipe = dict(
    base_lr=7e-4,
    epochs=90,
    batch_size=16,
    accumulate=32,
    mix_together=16,
    num_sample=2,
    departures=[
        dict(
            what='code of the fine-tuning',
            published="VideoMAE V2's, to which MGMAE's launch scripts belong",
            ours="VideoMAE's, its ancestor, with the values of the scripts and V2's default of 2 augmentations",
        ),
        dict(
            what='cutmix',
            published="timm's own, which cuts the third and fourth axis: frames and rows of a clip",
            ours='rows and columns of all frames, as in VideoMAE',
        ),
    ],
)
