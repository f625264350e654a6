"""HMDB51, split 3: 51 classes, 3,570 train and 1,530 test videos.

From the videos as the archives unpack them:
    python tools/prepare.py hmdb51_split3 --root VIDEOS
"""

_base_ = 'hmdb51.py'

data_root = '{{$SIGMA_DATA:data}}/hmdb51_split3'
dataset_info = dict(
    name='hmdb51_split3',
    short='HMDB51 split 3',
    splits=dict(
        train=dict(
            list='train.txt', sha256='3185204aa8a84180987cb3be2778b743170f91c148055357b4bcfd7fbabbe78b', num_videos=3570
        ),
        test=dict(
            list='test.txt', sha256='edfe3cd7711103db8abfd9d3ad899f4b873fae5ee6b9192c15f0d0038fc8dc5c', num_videos=1530
        ),
    ),
    prepare='python tools/prepare.py hmdb51_split3 --root VIDEOS',
)
prepare_from = dict(train='hmdb51/split3_train.txt.gz', test='hmdb51/split3_test.txt.gz')
