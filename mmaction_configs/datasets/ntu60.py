"""NTU RGB+D, 60 classes, cross-subject: 40,320 train and 16,560 test videos.

Training subjects are 1, 2, 4, 5, 8, 9, 13-19, 25, 27, 28, 31, 34, 35 and 38. File names state setup, camera, subject,
replication and action (S001C002P003R002A013_rgb.avi), so a complete set of videos gives the lists; if some
are missing, LABELS must hold trainlist01.txt and testlist01.txt. Sorted by name; classes are action numbers.
    python tools/prepare.py ntu60 --root VIDEOS [--annotations LABELS]
"""

data_root = '{{$SIGMA_DATA:data}}/ntu60'
dataset_info = dict(
    name='ntu60',
    short='NTU60',
    task='action_recognition',
    classes=[f'A{number:03d}' for number in range(1, 61)],
    splits=dict(
        train=dict(
            list='train.txt',
            sha256='17d73167df80394e04562888ee43ed47a405f48edce0fc49ed57828e49204905',
            num_videos=40320,
        ),
        test=dict(
            list='test.txt', sha256='ffb7f6453db62fa39f69707f43b888a0c332dad56bbf866513abd884ab88c7cc', num_videos=16560
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source='Shahroudy, Liu, Ng and Wang, NTU RGB+D (CVPR 2016); cross-subject protocol',
    licence='academic licence on request',
    obtain='https://rose1.ntu.edu.sg/dataset/actionRecognition/ (the RGB videos, nturgbd_rgb_s001.zip to s017)',
    prepare='python tools/prepare.py ntu60 --root VIDEOS',
)
recipes = dict(finetune='finetune_{family}_ntu60')
prepare_from = dict(
    reader='ntu60',
    needs='all videos, or trainlist01.txt and testlist01.txt',
    also_named=('_rgb$', ''),
)
