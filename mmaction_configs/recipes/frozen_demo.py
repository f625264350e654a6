"""`frozen_default` for the demo: one view of the whole frame."""

_base_ = 'frozen_default.py'

recipe = dict(
    batch_size=64,
    views=dict(num_clips=1, resize='square'),
    strengths=(0.0001, 0.001, 0.01, 0.1, 1.0),
)
