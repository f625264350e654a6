"""Repetition counting with the encoder fine-tuned, on a random frame from each of 64 segments.

Head and views are those of `repetition_frozen`. The head is ours; SEVERE's is in `repetition_cycles`.
"""

recipe = dict(
    protocol='repetition',
    finetune=True,
    num_frames=64,
    clip_step_frames=None,  # side by side: half the memory of overlapping clips
    views={'num_clips': 1, 'crops': 1, 'resize': 'short_side'},
    decoder='proved',
    head=dict(width=64, num_heads=4, num_channels=32, dropout=0.1),
    training=dict(
        epochs=50,
        batch_size=8,
        lr=5e-4,
        encoder_lr=2e-5,
        weight_decay=0.05,
        warmup_share=0.1,
        least_share=0.5,
        count_weight=2.0,
    ),
)
