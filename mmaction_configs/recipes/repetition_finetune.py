"""`repetition_default` with the encoder trained along, on random frames of each of 64 segments."""

_base_ = 'repetition_default.py'

recipe = dict(
    finetune=True,
    clip_step_frames=None,  # clips adjoin: half the memory
    training=dict(epochs=50, batch_size=8, lr=5e-4, encoder_lr=2e-5, weight_decay=0.05),
)
