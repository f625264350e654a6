"""ActionFormer's head for THUMOS-14: full length, cut to 2304 steps in training, soft-NMS per class.

Every setting is OpenTAD's (configs/actionformer/thumos_i3d.py and its bases at 3dd7b03), which
tests/eval/protocols/test_localization_settings.py compares one by one. Clips are those of the dataset card: 16 frames,
stride 1, step 4. Expect 68.4 with OpenTAD's I3D features; ours are of the encoder that is measured.
"""

recipe = dict(
    protocol='localization',
    view=dict(resize='short_side'),
    batch_size=16,
    length=None,
    standardise=False,
    longest=2304,
    targets=dict(whole_frames=True, least_share=0.0, empty_videos=False),
    head=dict(
        width=512,
        num_heads=4,
        num_levels=6,
        num_stem=2,
        window=19,
        num_head_layers=3,
        centre_radius=1.5,
        first_range=4.0,
        drop_path=0.1,
        feature_dropout=0.2,
        num_positives=100.0,
        norm_epsilon=1e-6,
    ),
    training=dict(
        epochs=35,
        warmup_epochs=5,
        batch_size=2,
        drop_last=True,
        lr=1e-4,
        weight_decay=0.05,
        ema_decay=0.999,
        clip_norm=1.0,
        crop=(0.9, 1.0),
    ),
    suppression=dict(sigma=0.5, class_wise=True, most=2000, before=2000, least_before=0.001, least_score=0.001),
)
