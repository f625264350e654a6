"""600 episodes of 20 classes with 10 clips to learn from and 15 to classify. Views of `frozen_default`."""

_base_ = 'frozen_episodes_5way_1shot.py'

recipe = dict(protocol='frozen_episodes_20way_10shot')
