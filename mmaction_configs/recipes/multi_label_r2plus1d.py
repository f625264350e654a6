"""Charades with R(2+1)D-18 as published by SEVERE (SlowFast's code).

SGD 0.0375, momentum 0.9, weight decay 1e-4, 57 epochs, x0.1 at 41 and 49, 4 epochs of warm-up from 1e-4, batch 16, 32
frames at stride 8 of videos at 24 frames per second, short side 256-340, crop 112, dropout 0.5, 10 x 3 views, maximum.
Departures: frames stay RGB with the encoder's own normalisation (published: BGR). There is no precise-BN pass before
the test; BatchNorm uses its running statistics. Biases and norms have no weight decay. The test pools over the crop
instead of averaging the sigmoids of each place (fully convolutional). A video shorter than the clip repeats only its
last frame.
"""

recipe = dict(
    protocol='multi_label',
    optimizer='SGD',
    lr=0.0375,
    momentum=0.9,
    weight_decay=1e-4,
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
    short_side_jitter=(256, 340),
    flip=0.5,
    label_smoothing=0.0,
    drop_path=0.0,
    head_dropout=0.5,
    head_init_scale=None,
    head_norm=False,
    views=dict(num_clips=10, crops=3, resize='short_side'),
    test_batch_size=1,
    decoder='decord',
    checkpoint_epochs=1,
)
