"""Charades with a video transformer: our choice after VideoGLUE's settings for VideoMAE-B, since SIGMA states none.

VideoGLUE: 6 frames per second, 16 frames at stride 1, AdamW 1e-4 at batch 256, weight decay 1e-5, cosine, 5 % warm-up,
50 epochs, label smoothing 0.1, dropout 0.5, 4 clips x 3 crops. Departures: the mean over tokens replaces an attentive
pooler of 12 heads; layer decay 0.75 and drop path 0.1 are those of `finetune_vit`; sigmoid scores are merged by their
maximum over SEVERE's 10 x 3 views.
"""

recipe = dict(
    protocol='multi_label',
    optimizer='AdamW',
    base_lr=1e-4,
    layer_decay=0.75,
    betas=(0.9, 0.999),
    weight_decay=1e-5,
    precision='bf16',
    epochs=50,
    warmup_share=0.05,
    warmup_lr=1e-6,
    min_lr=1e-6,
    batch_size=16,
    accumulate=16,
    sampling='seconds',
    num_frames=16,
    clip_fps=6,
    short_clips='repeat_last',
    crop_area=(0.25, 1.0),
    flip=0.5,
    label_smoothing=0.1,
    drop_path=0.1,
    head_dropout=0.5,
    head_init_scale=0.001,
    views=dict(num_clips=10, crops=3, resize='short_side'),
    test_batch_size=1,
    decoder='decord',
    checkpoint_epochs=1,
)
