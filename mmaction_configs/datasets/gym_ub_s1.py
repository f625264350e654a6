"""Gym99 classes 74 to 88, circles on the uneven bars (FineGym set 41): 15 classes, 3,511 train and 1,471 test clips.

Labels count from the first of these classes. From elements cut into clips, as for gym99:
    python tools/prepare.py gym_ub_s1 --root VIDEOS
"""

_base_ = '_base_/gym.py'

data_root = '{{$SIGMA_DATA:data}}/gym_ub_s1'
dataset_info = dict(
    name='gym_ub_s1',
    short='UB-S1',
    classes='../annotations/gym99/classes.txt[74:89]',
    splits=dict(
        train=dict(
            list='train.txt', sha256='951060fd7bab0e3d43534c7f03c1a1d10a0731e4b43477b909102214ace9214b', num_videos=3511
        ),
        test=dict(
            list='test.txt', sha256='ae4e879014743b5ced1c2b4cd88f47dd57739bc88acf9ac3b8c50a69f2e8a9ee', num_videos=1471
        ),
    ),
    prepare='python tools/prepare.py gym_ub_s1 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_gym_parts')
prepare_from = dict(train='gym99/train.txt.gz', test='gym99/test.txt.gz', only_classes=(74, 88))
