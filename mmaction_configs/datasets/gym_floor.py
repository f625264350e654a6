"""Gym99 classes 6 to 40, the floor: 35 classes, 5,385 train and 2,226 test clips.

Labels count from the first of these classes. From elements cut into clips, as for gym99:
    python tools/prepare.py gym_floor --root VIDEOS
"""

_base_ = '_base_/gym.py'

data_root = '{{$SIGMA_DATA:data}}/gym_floor'
dataset_info = dict(
    name='gym_floor',
    short='Floor',
    classes='../annotations/gym99/classes.txt[6:41]',
    splits=dict(
        train=dict(
            list='train.txt', sha256='7e7fbd7e0d724c897a50f67e36758d914320aff931201e9beb6245dbf2d73ff7', num_videos=5385
        ),
        test=dict(
            list='test.txt', sha256='4c962dcb282a6f4cb4832e7fca011398ce9e23f8ec33d66f53441d45dca0bfcb', num_videos=2226
        ),
    ),
    prepare='python tools/prepare.py gym_floor --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_gym_parts')
prepare_from = dict(train='gym99/train.txt.gz', test='gym99/test.txt.gz', only_classes=(6, 40))
