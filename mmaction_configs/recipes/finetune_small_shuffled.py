"""Control: `finetune_small` with the frames of every clip in random order, in training and in testing.

On `toy` it must stay at chance: appearance says nothing about the label.
"""

_base_ = 'finetune_small.py'

recipe = dict(frames='shuffled')
