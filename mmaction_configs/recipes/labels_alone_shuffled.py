"""Control: `labels_alone` with the frames of every clip in random order, in training and test.

It must stay at chance on `toy`, where appearance says nothing about the label.
"""

_base_ = 'labels_alone.py'

recipe = dict(frames='shuffled')
