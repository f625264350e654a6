"""What a tiny encoder learns on `toy` from labels alone: `finetune_small`, longer and without layer decay.

The encoder starts from random weights, so its lowest layers need the full learning rate. Batches of 16 at the learning
rate of 32 learn more from the same clips. Results and run time: docs/small-scale.md.
"""

_base_ = 'finetune_small.py'

recipe = dict(num_steps=900, batch_size=16, base_lr=0.016, layer_decay=1.0)
