"""Control: `labels_alone` with one random frame of every clip, repeated, in training and test.

It must stay at chance on `toy`, where appearance says nothing about the label.
"""

_base_ = 'labels_alone.py'

recipe = dict(frames='single')
