"""Counting on frozen features for the demo: 64 frames of a video in adjoining clips, a small head, few steps.

Not SEVERE's head, which is `repetition_cycles`.
"""

recipe = dict(
    protocol='repetition_frozen',
    finetune=False,
    num_frames=64,
    clip_step_frames=None,  # the encoder's own number of frames: clips adjoin
    views={'num_clips': 1, 'crops': 1, 'resize': 'square'},
    decoder='decord',
    batch_size=32,
    head=dict(width=64, num_heads=4, num_channels=16, dropout=0.1),
    training=dict(
        num_steps=200,
        batch_size=16,
        lr=1e-3,
        weight_decay=0.01,
        warmup_share=0.1,
        least_share=0.5,
        count_weight=2.0,
    ),
)
