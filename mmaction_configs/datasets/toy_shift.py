"""Toy shift: the motions of `toy` with other photographs, at 30 frames per second, 3 frames apart: a domain shift.

How and why: sigma/datasets/toy/render.py. 10 classes, 160 train and 40 test clips each, rendered in about 20 s on two
cores by
    python tools/prepare.py toy --out data/toy_shift --domain shift
"""

_base_ = '_base_/toy_motions.py'

data_root = '{{$SIGMA_DATA:data}}/toy_shift'
dataset_info = dict(
    name='toy_shift',
    short='toy shift',
    splits=dict(
        train=dict(
            list='train.txt', sha256='3d07cdc499d809ca4cf158c9e1e1910ddc4f13fca96c2b46d6d8bc2fc312b0cb', num_videos=1600
        ),
        test=dict(
            list='test.txt', sha256='cbda89cbbad46dd82a16f2a8b9d583129254d70f6a42040af6d93d33b2313934', num_videos=400
        ),
    ),
    sampling=dict(num_frames=16, stride_frames=3),
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_shift" --domain shift',
)
