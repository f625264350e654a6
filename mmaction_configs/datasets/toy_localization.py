"""Toy localization: long clips; three to five times, one of two movers makes one of six motions.

How and why: sigma/datasets/toy/forms.py. 80 train and 30 test clips of 12.8 seconds, about 20 s of CPU time:
    python tools/prepare.py toy --out data/toy_localization --form localization
"""

_base_ = '_base_/toy.py'

prepare_together = None  # it is not in severe_toy
data_root = '{{$SIGMA_DATA:data}}/toy_localization'
dataset_info = dict(
    name='toy_localization',
    short='toy localization',
    task='localization',
    classes=['circle_ccw', 'circle_cw', 'grow_and_shrink', 'spin', 'to_and_fro', 'up_and_down'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='2c2832d9f4c583c955ae4b66d67fce8f343534cbbefcb57975036c024989e59c', num_videos=80
        ),
        test=dict(
            list='test.txt', sha256='639f52903c8e5e6ac3e9a5102d8c88123f6df8230e580eea93b7e8f739237789', num_videos=30
        ),
    ),
    annotations='annotations.json',
    metric='map_30_70',
    flips_change_label=True,
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_localization" --form localization',
)
