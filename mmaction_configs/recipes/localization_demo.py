"""ActionFormer's head cut down for the demo: a clip every 4 frames, a small head, few epochs.

`standardise` was chosen on every fifth training video (tools/prepare.py holdout toy_localization --every 5), seed 0:
SIGMA-MLP reaches 37.3 with it and 22.8 without (docs/small-scale.md). Epochs, learning rate and widths are first
guesses and were not tuned. Segments vote within their class, which no published code does (`class_wise_voting`:
41.0 instead of 40.5 on test, random weights, seed 0).
`shortest_steps` is 0.1 s at 25 frames per second.
"""

recipe = dict(
    protocol='localization',
    view=dict(step_frames=4, resize='square'),
    batch_size=32,
    length=None,
    standardise=True,
    longest=None,
    targets=dict(whole_frames=False, least_share=0.0, empty_videos=True),
    head=dict(width=64, num_heads=4, num_levels=4, num_stem=1, window=9, feature_dropout=0.1, num_positives=50.0),
    training=dict(
        epochs=40,
        warmup_epochs=4,
        batch_size=8,
        lr=1e-3,
        weight_decay=0.05,
        ema_decay=0.97,
        clip_norm=1.0,
        crop=(0.7, 1.0),
    ),
    suppression=dict(sigma=0.5, class_wise=True, class_wise_voting=0.7, most=100, before=1000, shortest_steps=0.625),
)
