"""Toy rhythms: one turn, faster at one of four places; every class shows the same frames (granularity).

How and why: sigma/datasets/toy/forms.py. 4 classes, 80 train and 40 test clips each, about 10 s of CPU time:
    python tools/prepare.py toy --out data/toy_rhythms --form rhythms
"""

_base_ = '_base_/toy.py'

data_root = '{{$SIGMA_DATA:data}}/toy_rhythms'
dataset_info = dict(
    name='toy_rhythms',
    short='toy rhythms',
    task='action_recognition',
    classes=['hurry_at_00', 'hurry_at_04', 'hurry_at_08', 'hurry_at_12'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='3571699d5625b062d396f00ef984fa6fa2e9f4883240f134e123daa6135c9970', num_videos=320
        ),
        test=dict(
            list='test.txt', sha256='e471fb6fd827d1fa59295aed92905ce5b600d3f699517df4e01078c6081bb454', num_videos=160
        ),
    ),
    metric='mean_class',
    flips_change_label=False,
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_rhythms" --form rhythms',
)
