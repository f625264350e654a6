"""Fine-tuning of R(2+1)D-18 as published by SEVERE; the other `finetune_r2plus1d_*` recipes change parts of it.

The epochs are those for UCF101, HMDB51, Gym99, Gym288, Diving48 and the 1000-clip sets. From SEVERE's code:
    optimizer     Adam, 1e-4 for any batch size, no weight decay, batch 32
    schedule      16 epochs of 10 clips per video, x0.3 at 6, 10, 14
    frames        32 at 16 frames per second (2 s), whatever the file's rate; short videos loop
    augmentation  crops of 0.08-1 of the area, flip, colour jitter 0.4 / 0.4 / 0.4 / 0.2
    model         pooled features, new linear layer, no norm; BatchNorm keeps training
    test          10 clips, short side 128, centre crop 112, mean of softmax
Frames are resized with a filter that averages, as PIL does there, in training and test.
"""

recipe = dict(
    protocol='finetune',
    optimizer='Adam',
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    decays='all',
    epochs=16,
    repeats=10,
    milestones=(6, 10, 14),
    milestone_factor=0.3,
    batch_size=32,
    sampling='published_seconds',
    num_frames=32,
    clip_fps=16,
    crop_area=(0.08, 1.0),
    resampling='antialias',
    flip=0.5,
    colour_jitter=(0.4, 0.4, 0.4, 0.2),
    label_smoothing=0.0,
    drop_path=0.0,
    head_dropout=0.0,
    head_init_scale=None,
    head_norm=False,
    views=dict(num_clips=10, crops=1, resize='short_side', short_side=128, resampling='antialias', middle='even'),
    test_batch_size=4,
    decoder='proved',
    checkpoint_epochs=1,
)
