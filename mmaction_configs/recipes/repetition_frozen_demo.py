"""`repetition_frozen` for the demo: clips side by side, the whole frame, a smaller head, few steps."""

_base_ = 'repetition_frozen.py'

recipe = dict(
    clip_step_frames=None,  # the encoder's own number of frames: clips side by side
    views=dict(resize='square'),
    batch_size=32,
    head=dict(num_channels=16),
    training=dict(num_steps=200, batch_size=16),
)
