"""600 episodes of 5 classes with 1 clip to learn from and 15 to classify. Views of `frozen_default`."""

recipe = dict(
    protocol='frozen_episodes_5way_1shot',
    batch_size=8,
    views=dict(num_clips=2, crops=1, resize='short_side'),
    decoder='proved',
    queries=15,
    episodes=600,
)
