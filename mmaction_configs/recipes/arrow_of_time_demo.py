"""`finetune_demo` with two classes, forwards and backwards.

Motions of `toy` turned around are motions of `toy` again (clockwise, anticlockwise), so half right is what there is to
learn: it shows that the protocol runs, and that nothing but the direction tells its label.
"""

_base_ = 'finetune_demo.py'

recipe = dict(protocol='arrow_of_time')
