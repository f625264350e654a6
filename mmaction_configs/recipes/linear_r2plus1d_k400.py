"""`linear_r2plus1d_ucf101` as published by SEVERE for Kinetics-400: batch 64, 40 epochs of one clip per video.

The learning rate falls by x0.3 at 10, 20 and 30 epochs.
"""

_base_ = 'linear_r2plus1d_ucf101.py'

recipe = dict(
    epochs=40,
    repeats=1,
    milestones=(10, 20, 30),
    batch_size=64,
    num_frames=32,
    departures=[
        dict(
            what='frames of a clip',
            published='not found for the linear evaluation on Kinetics-400 (SEVERE)',
            ours='32, as in its fine-tuning',
        ),
    ],
)
