"""mmaction2's BMN on ActivityNet-1.3; a linear classifier names the proposals.

100 steps, Adam 1e-3, 9 epochs, batch 16. Network, optimizer and schedule are those of mmaction2's
bmn_2xb8-400x100-9e_activitynet-feature.py; the features are ours.
"""

recipe = dict(
    protocol='localization_bmn',
    view=dict(resize='short_side'),
    batch_size=16,
    length=100,
    standardise=False,
    head=dict(
        type='mmaction.BMN',
        temporal_dim=100,
        boundary_ratio=0.5,
        num_samples=32,
        num_samples_per_bin=3,
        soft_nms_alpha=0.4,
        soft_nms_low_threshold=0.5,
        soft_nms_high_threshold=0.9,
        post_process_top_k=100,
    ),
    training=dict(epochs=9, batch_size=16, lr=1e-3, weight_decay=1e-4, milestone=7, clip_norm=40),
    naming=dict(strength=0.01, top=2),
)
