"""What labels alone teach a tiny encoder on `toy`: `finetune_small` with more and smaller steps and no layer decay.

The encoder starts from random weights, so its lowest layers need the whole learning rate; batches of 16 at the rate of
32 learn more from the same clips. How much, and in which time: docs/small-scale.md.
"""

_base_ = 'finetune_small.py'

recipe = dict(num_steps=900, batch_size=16, base_lr=0.016, layer_decay=1.0)
