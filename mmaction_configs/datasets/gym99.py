"""FineGym, 99 classes of gymnastic elements: 20,484 train and 8,521 test clips (the published validation list).

For domain shift it is scored by top-1. Its subsets of classes (gym_fx_s1, gym_ub_s1, gym_vault, gym_floor) and gym288
are scored by the mean per class, as SEVERE reports granularity. Lists are in published order, so that the published
draws of 1000 clips can be reproduced. From elements cut into clips:
    python tools/prepare.py gym99 --root VIDEOS
"""

_base_ = '_base_/gym.py'

data_root = '{{$SIGMA_DATA:data}}/gym99'
dataset_info = dict(
    name='gym99',
    short='GYM99',
    classes='../annotations/gym99/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt',
            sha256='90843a99a1a0f799849fce5fc1341afd29ea26ae822623e66adee17865bfbfd2',
            num_videos=20484,
        ),
        test=dict(
            list='test.txt', sha256='f94f92da8eb3810757bef166e67bcbe55f417532aaee986f0a89dcf252f2ef24', num_videos=8521
        ),
    ),
    metric='top1',
    prepare='python tools/prepare.py gym99 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_ucf101')
prepare_from = dict(train='gym99/train.txt.gz', test='gym99/test.txt.gz')
