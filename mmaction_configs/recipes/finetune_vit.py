"""Fine-tuning of a video transformer as published by SIGMA for Kinetics-400; other `finetune_vit_*` change parts of it.

From the code that SIGMA, VideoMAE and SMILE share, and from its launch scripts:
    optimizer     AdamW, betas 0.9 / 0.999, weight decay 0.05, 1e-3 per 256 clips of the total batch (8 x 4 = 32
                  there, so 1.25e-4), layer decay 0.75
    schedule      100 epochs, 5 of them warm-up from 0, cosine to 1e-6 per 256 clips of the total batch
    frames        16 at stride 4, sampled as the published loader does, short clips included
    augmentation  RandAugment, crops of 0.25-1 of the area, flip, erasing, mixup 0.8 or cutmix 1.0, smoothing 0.1
    mixing        pairs and draws as on 8 devices of 4 clips (`mix_together`)
    model         drop path 0.1, no dropout, linear weights scaled by 0.001
    test          7 clips x 3 crops (the launch script; SIGMA's README and VideoMAE say 5 x 3)
The published colour jitter of 0.4 has no effect beside RandAugment, so it is left out, and so does `--warmup_lr`: the
code starts at 0.
"""

recipe = dict(
    protocol='finetune',
    optimizer='AdamW',
    base_lr=0.001,
    layer_decay=0.75,
    betas=(0.9, 0.999),
    weight_decay=0.05,
    precision='bf16',
    epochs=100,
    warmup_epochs=5,
    warmup_lr=0.0,
    base_min_lr=1e-6,
    batch_size=32,
    accumulate=1,
    num_sample=1,
    sampling='published',
    num_frames=16,
    stride_frames=4,
    rand_augment='rand-m7-n4-mstd0.5-inc1',
    crop_area=(0.25, 1.0),
    resampling='opencv',
    flip=0.5,
    erase=0.25,
    mixup=0.8,
    cutmix=1.0,
    mix_switch=0.5,
    mix_together=4,
    label_smoothing=0.1,
    drop_path=0.1,
    head_dropout=0.0,
    head_init_scale=0.001,
    views=dict(num_clips=7, crops=3, resize='short_side', resampling='opencv'),
    test_batch_size=2,
    decoder='proved',
    checkpoint_epochs=1,
)
