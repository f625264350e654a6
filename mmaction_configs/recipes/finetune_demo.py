"""Fine-tuning for the demo: a tiny encoder, few steps.

Optimizer, layer decay and label smoothing are those of `finetune_vit`. Clips show the whole frame without crops, there
is no drop path, and the head starts at full scale, since 50 steps are too few to grow it.
"""

recipe = dict(
    protocol='finetune',
    base_lr=0.008,
    layer_decay=0.75,
    betas=(0.9, 0.999),
    weight_decay=0.05,
    warmup_share=0.125,
    batch_size=32,
    test_batch_size=64,
    num_steps=50,
    label_smoothing=0.1,
    drop_path=0.0,
    head_dropout=0.0,
    head_init_scale=1.0,
    crop_area=None,
    views={'num_clips': 1, 'crops': 1, 'resize': 'square'},
    decoder='decord',
    checkpoint_epochs=1000,
    cache_megabytes=500,  # holds all toy clips, whose frames are the same every time
)
