"""Control: `labels_alone` with one random frame of every clip in the place of all, in training and in testing.

On `toy` it must stay at chance: appearance says nothing about the label.
"""

_base_ = 'labels_alone.py'

recipe = dict(frames='single')
