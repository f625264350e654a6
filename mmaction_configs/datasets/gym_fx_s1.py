"""Gym99 classes 6 to 16, floor leaps, jumps and hops (FineGym set 21): 11 classes, 1,882 train and 777 test clips.

Labels count from the first of these classes. From elements cut into clips, as for gym99:
    python tools/prepare.py gym_fx_s1 --root VIDEOS
"""

_base_ = '_base_/gym.py'

data_root = '{{$SIGMA_DATA:data}}/gym_fx_s1'
dataset_info = dict(
    name='gym_fx_s1',
    short='FX-S1',
    classes='../annotations/gym99/classes.txt[6:17]',
    splits=dict(
        train=dict(
            list='train.txt', sha256='8640012a6bc43b7e7c1bf009447e66e7eeaf037fc6e9a54a2830420ca90834ed', num_videos=1882
        ),
        test=dict(
            list='test.txt', sha256='f75dbc5e996f416a170c5de1aab4838be961e130ff2ba02b6c7a5604b4aa8c6a', num_videos=777
        ),
    ),
    prepare='python tools/prepare.py gym_fx_s1 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_gym_parts')
prepare_from = dict(train='gym99/train.txt.gz', test='gym99/test.txt.gz', only_classes=(6, 16))
