"""ImageNet-C (Hendrycks and Dietterich 2019) on every frame.

It is measured on a cell fine-tuned by `finetune_{family}_ucf101`, at a short side of 256 pixels.
"""

_base_ = 'robustness_ucf_p.py'

recipe = dict(protocol='robustness_imagenet-c', trained='finetune_{family}_ucf101')
