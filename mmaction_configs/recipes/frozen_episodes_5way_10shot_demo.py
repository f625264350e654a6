"""`frozen_episodes_5way_10shot` for the demo: the view of `frozen_demo`, five queries."""

_base_ = 'frozen_episodes_5way_10shot.py'

recipe = dict(batch_size=64, views=dict(num_clips=1, resize='square'), queries=5)
