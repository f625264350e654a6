"""A linear layer and its LayerNorm on a frozen encoder, for the demo: a tiny encoder, few steps.

As `finetune_demo`, with the encoder frozen and a higher learning rate, since only the head learns.
"""

_base_ = 'finetune_demo.py'

recipe = dict(protocol='linear', layer_decay=1.0, base_lr=0.08, trunk_mode='train')
