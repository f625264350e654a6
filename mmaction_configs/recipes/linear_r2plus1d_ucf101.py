"""A linear layer on a frozen R(2+1)D-18 as published by SEVERE for UCF101; the layer alone learns.

From SEVERE's code; what is not here is as in `finetune_r2plus1d` (augmentation, 10 clips at test):
    optimizer  Adam, 0.01 for any batch size, no weight decay, batch 128
    schedule   10 epochs of 10 clips per video, x0.3 at 4 and 8 (a third milestone at 10 is the end)
    frames     16 at 16 frames per second (1 s)
"""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(
    protocol='linear_fixed_norm',
    lr=0.01,
    epochs=10,
    milestones=(4, 8),
    batch_size=128,
    num_frames=16,
    trunk_mode='eval',
    departures=[
        dict(
            what='clips per video and epoch',
            published='10 for UCF101 (SEVERE); whether in the linear evaluation too was not found',
            ours='10',
        ),
    ],
)
