"""`finetune_demo` for videos with several labels: a binary cross-entropy per class."""

_base_ = 'finetune_demo.py'

recipe = dict(protocol='multi_label', label_smoothing=0.0)
