"""`finetune_r2plus1d` for Something-Something V2: 22 epochs of 2 clips per video, x0.3 at 12, 17, 20.

SEVERE flips clips here too. We do not, because the dataset card says that a flip changes the label;
`finetune_r2plus1d_ssv2_flip` does.
"""

_base_ = 'finetune_r2plus1d.py'

recipe = dict(
    epochs=22,
    repeats=2,
    milestones=(12, 17, 20),
    departures=[
        dict(
            what='horizontal flip',
            published='with probability 0.5 (SEVERE)',
            ours='none, since it changes labels ("left to right"); finetune_r2plus1d_ssv2_flip does as published',
        ),
    ],
)
