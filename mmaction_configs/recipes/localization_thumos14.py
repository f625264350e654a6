"""ActionFormer's head for THUMOS-14: full length, cut to 2304 steps in training, soft-NMS per class.

Settings of OpenTAD and the original code for THUMOS: window 19, AdamW 1e-4, 30 + 5 epochs, batch 2. Clips are those of
the dataset card: 16 frames, stride 1, step 4.
"""

recipe = dict(
    protocol='localization',
    view=dict(resize='short_side'),
    batch_size=16,
    length=None,
    standardise=False,
    longest=2304,
    shortest_seconds=0.05,
    head=dict(width=512, num_heads=4, num_levels=6, num_stem=2, window=19, num_positives=100.0),
    training=dict(
        epochs=35,
        warmup_epochs=5,
        batch_size=2,
        lr=1e-4,
        weight_decay=0.05,
        ema_decay=0.999,
        clip_norm=1.0,
        crop=(0.9, 1.0),
    ),
    suppression=dict(sigma=0.5, voting=0.7, most=200, before=2000),
)
