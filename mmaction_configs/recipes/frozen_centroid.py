"""Nearest class mean. Views of `frozen_default`."""

recipe = dict(
    protocol='frozen_centroid',
    batch_size=8,
    views=dict(num_clips=2, crops=1, resize='short_side'),
    decoder='proved',
)
