"""FineGym, 288 classes: 22,671 train and 9,646 test clips; class 138 occurs only in test.

From elements cut into clips, as for gym99:
    python tools/prepare.py gym288 --root VIDEOS
"""

_base_ = '_base_/gym.py'

data_root = '{{$SIGMA_DATA:data}}/gym288'
dataset_info = dict(
    name='gym288',
    short='GYM288',
    classes='../annotations/gym288/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt',
            sha256='90c1d252e6d28a77441cc5a51c018a889f468b3909c975247d00f465231faab3',
            num_videos=22671,
        ),
        test=dict(
            list='test.txt', sha256='79bbf4b13361a9c82da569d71403c00b57360b408769fd9c764331a1450ff335', num_videos=9646
        ),
    ),
    prepare='python tools/prepare.py gym288 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_ucf101')
prepare_from = dict(train='gym288/train.txt.gz', test='gym288/test.txt.gz')
