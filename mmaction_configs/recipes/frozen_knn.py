"""Nearest neighbours with SIGMA's settings: k 200, temperature 0.07, one centre clip."""

recipe = dict(
    protocol='frozen_knn',
    batch_size=8,
    views=dict(num_clips=1, crops=1, resize='short_side'),
    decoder='proved',
    k=200,
    temperature=0.07,
)
