"""`frozen_sweep` for the demo: the view of `frozen_demo`, so that both read the same features."""

_base_ = 'frozen_sweep.py'

recipe = dict(batch_size=64, views=dict(num_clips=1, resize='square'), step_clips=32)
