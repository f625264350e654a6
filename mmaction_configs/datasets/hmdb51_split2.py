"""HMDB51, split 2: 51 classes, 3,570 train and 1,530 test videos.

From the videos as the archives unpack them:
    python tools/prepare.py hmdb51_split2 --root VIDEOS
"""

_base_ = 'hmdb51.py'

data_root = '{{$SIGMA_DATA:data}}/hmdb51_split2'
dataset_info = dict(
    name='hmdb51_split2',
    short='HMDB51 split 2',
    splits=dict(
        train=dict(
            list='train.txt', sha256='4e9d91f0116f78a7b4a11424ae34bb82ef5b54b444b3d6c8485f0fee38842a72', num_videos=3570
        ),
        test=dict(
            list='test.txt', sha256='b655e6974c6d28de550385ce3badec2345e476f6a504565268d4b45d426849d7', num_videos=1530
        ),
    ),
    prepare='python tools/prepare.py hmdb51_split2 --root VIDEOS',
)
prepare_from = dict(train='hmdb51/split2_train.txt.gz', test='hmdb51/split2_test.txt.gz')
