"""Charades with R(2+1)D-18 as published by SEVERE (SlowFast's code).

SGD with Nesterov momentum, 0.0375, momentum 0.9, weight decay 1e-4 except on BatchNorm, 57 epochs, x0.1 at 41 and 49, 4
epochs of warm-up from 1e-4, batch 16, 32 frames at stride 8 of videos at 24 frames per second, short side 256-340, crop
112, dropout 0.5, 10 x 3 views of a short side of 112, maximum. Frames are RGB, with mean 0.45 and deviation 0.225. The
published head is fully convolutional; at 112 pixels it has one place, so it is the plain head.
"""

recipe = dict(
    protocol='multi_label',
    optimizer='SGD',
    lr=0.0375,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    decays='all_but_norms',
    epochs=57,
    warmup_epochs=4,
    warmup_lr=1e-4,
    milestones=(41, 49),
    milestone_factor=0.1,
    batch_size=16,
    sampling='seconds',
    num_frames=32,
    stride_frames=8,  # at the 24 frames per second of the card's sampling.fps
    short_clips='repeat_last',
    normalise=dict(mean=(114.75, 114.75, 114.75), std=(57.375, 57.375, 57.375)),  # 0.45 and 0.225 of 255
    short_side_jitter=(256, 340),
    flip=0.5,
    label_smoothing=0.0,
    drop_path=0.0,
    head_dropout=0.5,
    head_init_scale=None,
    head_norm=False,
    views=dict(num_clips=10, crops=3, resize='short_side', resampling='opencv', middle='up'),
    test_batch_size=1,
    decoder='proved',
    checkpoint_epochs=1,
    departures=[
        dict(
            what='precise BatchNorm',
            published='statistics from 200 training batches before every test',
            ours='the running statistics',
        ),
        dict(
            what='devices',
            published='8 GPUs of 2 clips, or as many as the launch script is told; BatchNorm per GPU',
            ours='16 clips and their statistics on one process',
        ),
        dict(
            what='frames',
            published='files of extracted frames at 24 per second, every 8th',
            ours='the video itself at the same times',
        ),
        dict(
            what='starts of clips',
            published='any frame of 24 a second; at test ten, evenly spaced and rounded to a frame',
            ours='multiples of 1/3 s, the step from frame to frame',
            effect='at most half a step in training, less than one at test',
        ),
        dict(
            what='place of a training crop',
            published='the last possible row and column are never drawn',
            ours='every place is',
            effect='one place of 145 or more',
        ),
        dict(
            what='clips longer than their video',
            published='the first frame repeats before it, the last after it, at a random place in training',
            ours='the last frame repeats',
            effect='none on videos of 10.4 s and more',
        ),
        dict(
            what='resizing',
            published='on normalised floats (torch, bilinear, no antialiasing)',
            ours='on pixels, rounded (OpenCV, the same filter)',
            effect='rounding, by less than 1 of 255',
        ),
    ],
)
