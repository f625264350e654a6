"""`repetition_cycles` for the 52 small videos of QUVA Repetition and a tiny encoder, in minutes on one core.

It has fewer epochs and parts, a smaller batch and a higher learning rate than published. These values were set once to
fit the time available; they were not tuned on the test videos. At least 4 cycles, as published for QUVA.
"""

_base_ = 'repetition_cycles.py'

recipe = dict(
    form='fractional',  # ours
    min_cycles=4,
    training=dict(epochs=5, batch_size=8, parts_per_video=1, lr=3e-4),
)
