"""Fine-tuning for the demo: as `finetune_vit` in optimizer, layer decay and smoothing, for a tiny encoder and few
steps. The whole frame, no crop, no drop path; a head at full scale, since there is no time to
grow it.
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
    num_steps=40,
    label_smoothing=0.1,
    drop_path=0.0,
    head_dropout=0.0,
    head_init_scale=1.0,
    crop_area=None,
    views={'num_clips': 1, 'crops': 1, 'resize': 'square'},
    decoder='decord',
    checkpoint_epochs=1000,
    cache_megabytes=500,  # the toy clips fit, and are sampled at the same frames every time
)
