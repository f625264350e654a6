"""`repetition_cycles` for the 52 short-sided videos of QUVA Repetition and a tiny encoder, in minutes on a core.

Against the published settings: fewer epochs and parts, a smaller batch and a higher rate. They were set once, by the
time that there was, and not looked for on the test videos. At least 4 cycles, as published for QUVA.
"""

_base_ = 'repetition_cycles.py'

recipe = dict(
    min_cycles=4,
    training=dict(epochs=5, batch_size=8, parts_per_video=1, lr=3e-4),
)
