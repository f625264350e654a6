"""ActionFormer's head for ActivityNet-1.3, class-aware: resized to 192 steps, window 7, label smoothing.

Settings of OpenTAD and the original code for ActivityNet: AdamW 1e-3, 15 epochs with 5 of warm-up, batch 16. Clips are
those of the dataset card: 16 frames, stride 4, step 8.
"""

recipe = dict(
    protocol='localization',
    view=dict(resize='short_side'),
    batch_size=16,
    length=192,
    standardise=False,
    longest=None,
    shortest_seconds=0.1,
    head=dict(
        width=256,
        num_heads=4,
        num_levels=6,
        num_stem=2,
        window=7,
        label_smoothing=0.1,
        num_positives=200.0,
        absolute_positions=True,
    ),
    training=dict(
        epochs=15,
        warmup_epochs=5,
        batch_size=16,
        lr=1e-3,
        weight_decay=0.05,
        ema_decay=0.999,
        clip_norm=1.0,
        crop=(0.9, 1.0),
    ),
    suppression=dict(sigma=0.75, voting=0.9, most=100, before=2000),
)
