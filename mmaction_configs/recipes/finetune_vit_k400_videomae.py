"""`finetune_vit` as VideoMAE has it for Kinetics-400: total batch of 512 (learning rate 2e-3), crops of 0.08-1 of the
area (SIGMA's are 0.25-1), 5 x 3 views.

Its 64 GPUs of 8 clips are 64 accumulations here; a process that holds more takes more clips and fewer of them.
"""

_base_ = 'finetune_vit.py'

recipe = dict(batch_size=8, accumulate=64, crop_area=(0.08, 1.0), views=dict(num_clips=5))
