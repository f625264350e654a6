"""Control: `finetune_small` with one random frame of every clip in the place of all, in training and in testing.

On `toy` it must stay at chance: appearance says nothing about the label.
"""

_base_ = 'finetune_small.py'

recipe = dict(frames='single')
