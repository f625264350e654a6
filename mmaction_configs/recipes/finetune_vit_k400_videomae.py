"""`finetune_vit` with VideoMAE's total batch of 512 and 5 x 3 views for Kinetics-400 (learning rate 2e-3).

Its 64 GPUs of 8 clips are 64 accumulations here; a process that holds more takes more clips and fewer of them.
"""

_base_ = 'finetune_vit.py'

recipe = dict(batch_size=8, accumulate=64, views=dict(num_clips=5))
