"""Toy speeds: 1.0, 1.2, 1.4, 1.6 or 1.8 turns per clip, in either direction (granularity).

How and why: sigma/datasets/toy/forms.py. 5 classes, 80 train and 40 test clips each, about 13 s of CPU time:
    python tools/prepare.py toy --out data/toy_speeds --form speeds
"""

_base_ = '_base_/toy.py'

data_root = '{{$SIGMA_DATA:data}}/toy_speeds'
dataset_info = dict(
    name='toy_speeds',
    short='toy speeds',
    task='action_recognition',
    classes=['turns_1.0', 'turns_1.2', 'turns_1.4', 'turns_1.6', 'turns_1.8'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='1b7969e3549f74cc194de1d2ee3e76f97097750e568193b773ceb764db3a3206', num_videos=400
        ),
        test=dict(
            list='test.txt', sha256='7cd5100b94df9beed6de31578cb8d2108f08abc67cb39667957dd9e036648f42', num_videos=200
        ),
    ),
    metric='mean_class',
    flips_change_label=False,
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_speeds" --form speeds',
)
