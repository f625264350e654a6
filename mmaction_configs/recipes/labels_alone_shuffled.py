"""Control: `labels_alone` with the frames of every clip in random order, in training and in testing.

On `toy` it must stay at chance: appearance says nothing about the label.
"""

_base_ = 'labels_alone.py'

recipe = dict(frames='shuffled')
