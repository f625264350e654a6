"""ActionFormer's head for ActivityNet-1.3, class-aware: resized to 192 steps, window 7, label smoothing.

Every setting of head and training is OpenTAD's (configs/actionformer/anet_tsp.py and its bases at 3dd7b03), which
tests/eval/protocols/test_localization_settings.py compares one by one. OpenTAD has no class-aware recipe for this set:
suppression is its class-wise one, as on THUMOS-14. Clips are those of the dataset card: 16 frames, stride 4, step 8.
"""

recipe = dict(
    protocol='localization',
    view=dict(resize='short_side'),
    batch_size=16,
    length=192,
    standardise=False,
    longest=192,
    targets=dict(whole_frames=False, least_share=0.01, empty_videos=False),
    head=dict(
        width=256,
        num_heads=4,
        num_levels=6,
        num_stem=2,
        window=(7, 7, 7, 7, 7, -1),
        num_head_layers=3,
        centre_radius=1.5,
        first_range=4.0,
        label_smoothing=0.1,
        drop_path=0.1,
        feature_dropout=0.2,
        regression_weight=2.0,
        num_positives=200.0,
        absolute_positions=True,
        norm_epsilon=1e-6,
    ),
    training=dict(
        epochs=15,
        warmup_epochs=5,
        batch_size=16,
        drop_last=True,
        lr=1e-3,
        weight_decay=0.05,
        ema_decay=0.999,
        clip_norm=1.0,
        crop=(0.9, 1.0),
    ),
    suppression=dict(sigma=0.75, class_wise=True, most=100, before=2000, least_before=0.001, least_score=0.001),
    departures=[
        dict(
            what='Who names the classes',
            published="Class-free proposals named by CUHK's video-level scores (num_classes=1, external_cls)",
            ours='The head itself, with 200 classes and class-wise suppression without voting; '
            '`localization_external_activitynet` does as published',
            effect='External scores add several points whatever the encoder is; not measured here',
        )
    ],
)
