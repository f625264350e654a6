"""Forwards or backwards with R(2+1)D-18: `finetune_r2plus1d` with two classes.

Our choice: SEVERE++ reports the task, but we did not find its settings.
"""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(protocol='arrow_of_time')
