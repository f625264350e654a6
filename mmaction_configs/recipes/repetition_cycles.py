"""Repetition counting as published by SEVERE (severe.md, section 1.5): cycle localisation, the encoder fine-tuned.

Adam 5e-5, weight decay 1e-3, batch 32, 100 epochs at a constant learning rate; 10 parts of at most 300 frames per
video, drawn once; up to 11 steps along a batch. SEVERE reports the best epoch on the test videos, we report the last.
"""

recipe = dict(
    protocol='repetition_cycles',
    form='severe',  # or 'fractional', ours
    decoder='proved',
    finetune=True,
    min_cycles=2,  # 4 for QUVA in the original
    flip=True,
    training=dict(
        epochs=100,
        batch_size=32,
        parts_per_video=10,
        longest_part=300,
        num_walk_steps=11,
        lr=5e-5,
        weight_decay=1e-3,
        test_batch_size=16,
    ),
)
