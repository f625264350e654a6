"""`frozen_knn` for the demo: the view of `frozen_demo`, so that both read the same features."""

_base_ = 'frozen_knn.py'

recipe = dict(batch_size=64, views=dict(num_clips=1, resize='square'))
