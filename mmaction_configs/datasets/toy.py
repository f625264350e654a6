"""Toy: photographs moving over other photographs, rendered from a seed; only the order of frames tells the class.

How and why: sigma/datasets/toy/render.py. 10 classes, 160 train and 40 test clips each, rendered in about 20 s on two
cores by
    python tools/prepare.py toy --out data/toy
"""

_base_ = '_base_/toy_motions.py'

data_root = '{{$SIGMA_DATA:data}}/toy'
dataset_info = dict(
    name='toy',
    short='toy',
    splits=dict(
        train=dict(
            list='train.txt', sha256='7d8f7bc73cbbd173942f88a237e1a4df22e07f7fe3e4ab8c64e5a899cf5c8fd3', num_videos=1600
        ),
        test=dict(
            list='test.txt', sha256='5d792147596f4a9dbbe8d49cac839cc77ae92cbac214231a114da425eac44218', num_videos=400
        ),
    ),
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy"',
)
