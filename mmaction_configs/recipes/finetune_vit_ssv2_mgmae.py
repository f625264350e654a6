"""`finetune_vit_ssv2_videomae` as published by MGMAE for its ViT-B: 2e-3 per 256 clips, layer decay 0.65, 25 epochs.

Total batch 256 (16 GPUs of 16 clips), two augmentations of every clip in the batch.
"""

_base_ = 'finetune_vit_ssv2_videomae.py'

recipe = dict(
    base_lr=2e-3,
    layer_decay=0.65,
    epochs=25,
    batch_size=16,
    accumulate=16,
    mix_together=16,
    num_sample=2,
    departures=[
        dict(
            what='code of the fine-tuning',
            published="VideoMAE V2's, to which MGMAE's launch scripts belong",
            ours="VideoMAE's, its ancestor, with the values of the scripts",
        ),
        dict(
            what='cutmix',
            published="timm's own, which cuts the third and fourth axis: frames and rows of a clip",
            ours='rows and columns of all frames, as in VideoMAE',
        ),
    ],
)
