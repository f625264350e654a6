"""Gym99 classes 0 to 5, the vault: 6 classes, 1,074 train and 446 test clips.

Labels count from the first of these classes. From elements cut into clips, as for gym99:
    python tools/prepare.py gym_vault --root VIDEOS
"""

_base_ = '_base_/gym.py'

data_root = '{{$SIGMA_DATA:data}}/gym_vault'
dataset_info = dict(
    name='gym_vault',
    short='Vault',
    classes='../annotations/gym99/classes.txt[0:6]',
    splits=dict(
        train=dict(
            list='train.txt', sha256='ebde6844253003c91c8d760382a5521e4403b0f48c97da1350bbdee13c0bd5ea', num_videos=1074
        ),
        test=dict(
            list='test.txt', sha256='d5e7d9b5e19a165540f8a419d6d2e477063169552f9dcc39c8f23e567ea7019f', num_videos=446
        ),
    ),
    prepare='python tools/prepare.py gym_vault --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_gym_parts')
prepare_from = dict(train='gym99/train.txt.gz', test='gym99/test.txt.gz', only_classes=(0, 5))
