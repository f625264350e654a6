"""Nearest neighbours; settings chosen on held-out training clips. Views of `frozen_default`."""

recipe = dict(
    protocol='frozen_knn_swept',
    batch_size=8,
    views=dict(num_clips=2, crops=1, resize='short_side'),
    decoder='proved',
    ks=(1, 5, 10, 20, 50, 100, 200),
    temperatures=(0.02, 0.07, 0.2),
    poolings=('mean', 'time'),
    held_out=0.2,
)
