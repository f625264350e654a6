"""Gym99 classes 6 to 16, floor leaps, jumps and hops (FineGym set 21): 11 classes, 1,882 train and 777 test clips.

Labels count from the first of these classes. From elements cut to clips, as for gym99:
    python tools/prepare.py gym_fx_s1 --root VIDEOS
"""

_base_ = 'gym99.py'

data_root = '{{$SIGMA_DATA:data}}/gym_fx_s1'
dataset_info = dict(
    name='gym_fx_s1',
    classes=[
        '(FX) switch leap with 0.5 turn',
        '(FX) switch leap with 1 turn',
        '(FX) split leap with 1 turn',
        '(FX) split leap with 1.5 turn or more',
        '(FX) switch leap (leap forward with leg change to cross split)',
        '(FX) split jump with 1 turn',
        '(FX) split jump (leg separation 180 degree parallel to the floor)',
        '(FX) johnson with additional 0.5 turn',
        '(FX) straddle pike or side split jump with 1 turn',
        '(FX) switch leap to ring position',
        '(FX) stag jump',
    ],
    splits=dict(
        train=dict(
            list='train.txt', sha256='8640012a6bc43b7e7c1bf009447e66e7eeaf037fc6e9a54a2830420ca90834ed', num_videos=1882
        ),
        test=dict(
            list='test.txt', sha256='f75dbc5e996f416a170c5de1aab4838be961e130ff2ba02b6c7a5604b4aa8c6a', num_videos=777
        ),
    ),
    metric='mean_class',
    prepare='python tools/prepare.py gym_fx_s1 --root VIDEOS',
)
