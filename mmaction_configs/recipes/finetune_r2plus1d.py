"""Fine-tuning of R(2+1)D-18 as SEVERE publishes it; the other `finetune_r2plus1d_*` depart from it.

These are the epochs of UCF101, HMDB51, Gym99, Gym288, Diving48 and the 1000-clip sets (spec: SEVERE's code):
    optimizer     Adam, 1e-4 whatever the batch, no weight decay, batch 32
    schedule      16 epochs of 10 clips a video, x0.3 at 6, 10, 14
    frames        32 at 16 frames a second (2 s), whatever the file's rate; short videos loop
    augmentation  crops of 0.08-1 of the area, flip, colour jitter 0.4 / 0.4 / 0.4 / 0.2
    model         pooled features, new linear layer, no norm; BatchNorm trains on
    test          10 clips, short side 128, centre crop 112, mean of softmax
Ours: the last epoch (SEVERE takes the best on the test set), and an unreadable test video is counted, not replaced.
Exceptions for single methods are not in it: AVID-CMA 1e-3, TCLR without normalisation and with channels reversed.
"""

recipe = dict(
    protocol='finetune',
    optimizer='Adam',
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    epochs=16,
    repeats=10,
    milestones=(6, 10, 14),
    milestone_factor=0.3,
    batch_size=32,
    sampling='seconds',
    num_frames=32,
    clip_fps=16,
    short_clips='loop',
    crop_area=(0.08, 1.0),
    flip=0.5,
    colour_jitter=(0.4, 0.4, 0.4, 0.2),
    label_smoothing=0.0,
    drop_path=0.0,
    head_dropout=0.0,
    head_init_scale=None,
    head_norm=False,
    views=dict(num_clips=10, crops=1, resize='short_side', short_side=128),
    test_batch_size=4,
    decoder='decord',
    checkpoint_epochs=1,
)
