"""HMDB51, split 1: 51 classes, 3,570 train and 1,530 test videos.

From the videos as the archives unpack them:
    python tools/prepare.py hmdb51 --root VIDEOS
"""

data_root = '{{$SIGMA_DATA:data}}/hmdb51'
dataset_info = dict(
    name='hmdb51',
    short='HMDB51',
    task='action_recognition',
    classes='../annotations/hmdb51/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt', sha256='700b6e5f2852900112262690833ae8b8226c69b09c9f07e0df2426c1dc187ad7', num_videos=3570
        ),
        test=dict(
            list='test.txt', sha256='5346fa19d1f3d8c3f8d80a552713fa958faea5481a5571f77710ca754ae464d5', num_videos=1530
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source='Kuehne et al., HMDB (ICCV 2011); official splits, with the project, see annotations/NOTICE.md',
    licence='CC BY 4.0',
    obtain=(
        'https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/ (hmdb51_org.rar and the '
        'archives in it)'
    ),
    prepare='python tools/prepare.py hmdb51 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_ucf101')
prepare_from = dict(train='hmdb51/split1_train.txt.gz', test='hmdb51/split1_test.txt.gz')
