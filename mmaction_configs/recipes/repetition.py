"""Counting with the encoder trained along, on random frames of each of 64 segments; the rest is `repetition_frozen`'s.

Our head, not SEVERE's, which is `repetition_cycles`.
"""

_base_ = 'repetition_frozen.py'

recipe = dict(
    protocol='repetition',
    finetune=True,
    clip_step_frames=None,  # clips adjoin: half the memory
    training=dict(epochs=50, batch_size=8, lr=5e-4, encoder_lr=2e-5, weight_decay=0.05),
)
