"""`finetune_demo` for videos of several labels: the same optimizer, steps and views, a binary cross-entropy a class."""

_base_ = 'finetune_demo.py'

recipe = dict(protocol='multi_label', label_smoothing=0.0)
