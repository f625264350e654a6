"""Repetition counting with the encoder fine-tuned, on a random frame from each of 64 segments.

The rest is `repetition_frozen`. The head is ours; SEVERE's is in `repetition_cycles`.
"""

_base_ = 'repetition_frozen.py'

recipe = dict(
    protocol='repetition',
    finetune=True,
    clip_step_frames=None,  # side by side: half the memory of overlapping clips
    training=dict(epochs=50, batch_size=8, lr=5e-4, encoder_lr=2e-5, weight_decay=0.05),
)
