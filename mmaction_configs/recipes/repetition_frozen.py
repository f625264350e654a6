"""Repetition counting on frozen features: 64 frames of a video, as in TransRAC, in clips that overlap by half.

Clips are 16 frames where the encoder takes 16; centre crop. The head is ours; SEVERE's is in `repetition_cycles`.
"""

recipe = dict(
    protocol='repetition_frozen',
    finetune=False,
    num_frames=64,
    clip_step_frames=8,
    views={'num_clips': 1, 'crops': 1, 'resize': 'short_side'},
    decoder='proved',
    batch_size=4,
    head=dict(width=64, num_heads=4, num_channels=32, dropout=0.1),
    training=dict(
        num_steps=2000,
        batch_size=32,
        lr=1e-3,
        weight_decay=0.01,
        warmup_share=0.1,
        least_share=0.5,
        count_weight=2.0,
    ),
)
