"""The ten orders of motion: `toy` and its shifts."""

_base_ = 'toy.py'

dataset_info = dict(
    task='action_recognition',
    classes=[
        'back_ccw',
        'back_cw',
        'swing_ccw',
        'swing_cw',
        'turn1_ccw',
        'turn1_cw',
        'turn2_ccw',
        'turn2_cw',
        'turn3_ccw',
        'turn3_cw',
    ],
    metric='top1',
    flips_change_label=True,
)
