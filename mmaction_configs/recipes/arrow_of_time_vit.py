"""Forwards or backwards with a video transformer: `finetune_vit_ucf101` with two classes. Our choice: SEVERE++ reports
the task, its settings were not found. No mixup or cutmix, which would join clips of both directions."""

_base_ = 'finetune_vit_ucf101.py'

recipe = dict(protocol='arrow_of_time', mixup=0.0, cutmix=0.0)
