"""UCF101, fold 1: 101 classes, 9,537 train and 3,783 test videos.

From the videos as the archive unpacks them:
    python tools/prepare.py ucf101 --root UCF-101
"""

data_root = '{{$SIGMA_DATA:data}}/ucf101'
dataset_info = dict(
    name='ucf101',
    short='UCF101',
    task='action_recognition',
    classes='../annotations/ucf101/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt', sha256='7d0801849950cf822b1619180359de49d97b2a82f745cadb510ba2e908c97ee1', num_videos=9537
        ),
        test=dict(
            list='test.txt', sha256='511c046de26f46818ad8ea45953261b0221500b1f35b08ac8359dda120776dba', num_videos=3783
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source='Soomro, Zamir and Shah, UCF101 (2012); official fold 1, with the project, see annotations/NOTICE.md',
    licence='no explicit licence; research use',
    obtain='https://www.crcv.ucf.edu/data/UCF101.php (UCF101.rar)',
    prepare='python tools/prepare.py ucf101 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_ucf101')
prepare_from = dict(train='ucf101/train.txt.gz', test='ucf101/test.txt.gz')
