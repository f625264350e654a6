"""`finetune_r2plus1d` for random weights: weight decay 1e-4, 20 epochs, x0.3 at 10, 15, 18 (SEVERE).

For UCF101, HMDB51, Gym99 and Gym288. Adam adds the decay to the gradient, on all parameters.
"""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(weight_decay=1e-4, epochs=20, milestones=(10, 15, 18))
