"""`finetune_demo` with 200 steps, for docs/small-scale.md."""

_base_ = 'finetune_demo.py'

recipe = dict(num_steps=200)
