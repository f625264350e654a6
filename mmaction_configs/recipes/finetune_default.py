"""Fine-tuning of a video transformer as SIGMA publishes it for SSv2 (sigma.md, section 3.1), without its mixing.

AdamW, learning rate 1e-3 for each 256 clips, layer decay 0.75, 5 of 40 epochs of warm-up, label smoothing 0.1,
drop path 0.1, crops of 0.25-1 of the area, 2 clips x 3 crops at test. RandAugment, mixup, cutmix and erasing of the
published recipe are not in it, so its numbers are not the published ones.
"""

recipe = dict(
    protocol='finetune',
    base_lr=0.001,
    layer_decay=0.75,
    betas=(0.9, 0.999),
    weight_decay=0.05,
    warmup_share=0.125,
    batch_size=32,
    test_batch_size=8,
    epochs=40,
    label_smoothing=0.1,
    drop_path=0.1,
    head_dropout=0.0,
    head_init_scale=0.001,
    crop_area=(0.25, 1.0),
    views={'num_clips': 2, 'crops': 3, 'resize': 'short_side'},
    decoder='decord',
    checkpoint_epochs=1,
)
