"""`repetition_cycles` cut down to check that it runs: one epoch, one part per video, a higher learning rate."""

_base_ = 'repetition_cycles.py'

recipe = dict(training=dict(epochs=1, batch_size=8, parts_per_video=1, longest_part=100, num_walk_steps=4, lr=1e-3))
