"""As `repetition_cycles_quva` on a frozen encoder, which takes a third of the time: only the linear heads learn."""

_base_ = 'repetition_cycles_quva.py'

recipe = dict(finetune=False, training=dict(epochs=3, lr=1e-3))
