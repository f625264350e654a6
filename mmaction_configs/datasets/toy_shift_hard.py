"""Toy shift, hard: as `toy_shift`, but smaller movers over photographs at full texture: a larger domain shift.

How and why: sigma/datasets/toy/render.py. 10 classes, 160 train and 40 test clips each, rendered by
    python tools/prepare.py toy --out data/toy_shift_hard --domain shift --level hard
"""

_base_ = '_base_/toy_motions.py'

data_root = '{{$SIGMA_DATA:data}}/toy_shift_hard'
dataset_info = dict(
    name='toy_shift_hard',
    short='toy shift hard',
    splits=dict(
        train=dict(
            list='train.txt', sha256='0a0bd734ef20fd7e7970d5f8458226ef19d39954b1f5575b673b55f5d770abdb', num_videos=1600
        ),
        test=dict(
            list='test.txt', sha256='ed7f5c411f53aa82cffcd3a74f9cbafc9e1fb43d5b978ac1888627be1542c0a2', num_videos=400
        ),
    ),
    sampling=dict(num_frames=16, stride_frames=3),
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_shift_hard" --domain shift --level hard',
)
