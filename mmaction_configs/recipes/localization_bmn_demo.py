"""mmaction2's BMN cut down for the demo: 64 steps, narrow, few epochs; proposals named by a linear classifier.

`standardise` and `strength` were chosen on every fifth training video (tools/prepare.py holdout toy_localization):
random weights 15.6 with the former and 0.4 without; of five strengths 1 names most true segments, mean of four
encoders (docs/small-scale.md). Epochs, rate and widths are first guesses, never tuned.
"""

recipe = dict(
    protocol='localization_bmn',
    view=dict(step_frames=4, resize='square'),
    batch_size=32,
    length=64,
    standardise=True,
    head=dict(
        type='mmaction.BMN',
        temporal_dim=64,
        boundary_ratio=0.5,
        num_samples=8,
        num_samples_per_bin=3,
        soft_nms_alpha=0.4,
        soft_nms_low_threshold=0.5,
        soft_nms_high_threshold=0.9,
        post_process_top_k=100,
        hidden_dim_1d=32,
        hidden_dim_2d=32,
        hidden_dim_3d=32,
    ),
    training=dict(epochs=15, batch_size=8, lr=1e-3, weight_decay=1e-4, milestone=12, clip_norm=40),
    naming=dict(strength=1.0, top=2),
)
