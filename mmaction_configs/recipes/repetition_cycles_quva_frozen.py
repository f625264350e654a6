"""`repetition_cycles_quva` on a frozen encoder: only the linear heads learn, in a third of the time."""

_base_ = 'repetition_cycles_quva.py'

recipe = dict(finetune=False, training=dict(epochs=3, lr=1e-3))
