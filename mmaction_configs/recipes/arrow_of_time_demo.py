"""`finetune_demo` with two classes: forwards and backwards.

A motion of `toy` played backwards is another motion of `toy` (clockwise, anticlockwise), so 50 % is all that can be
learned. This recipe shows that the protocol runs, and that nothing but the direction gives the label away.
"""

_base_ = 'finetune_demo.py'

recipe = dict(protocol='arrow_of_time')
