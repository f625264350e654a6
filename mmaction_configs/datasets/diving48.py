"""Diving48, V2 labels: 48 classes of take-off, somersaults, twists and position; 15,027 train and 1,970 test videos.

LABELS holds Diving48_V2_train.json and Diving48_V2_test.json:
    python tools/prepare.py diving48 --root VIDEOS --annotations LABELS
"""

data_root = '{{$SIGMA_DATA:data}}/diving48'
dataset_info = dict(
    name='diving48',
    short='Diving48',
    task='action_recognition',
    classes='../annotations/diving48/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt',
            sha256='711b18f10126c24de6156571863580ff9c1f881192203e8be7761c0642b7b6d6',
            num_videos=15027,
        ),
        test=dict(
            list='test.txt', sha256='3941c87151aeb56d207b2a6db4eeaa16394803af4f499f3c1d98fe89e25164eb', num_videos=1970
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # classes count twists, whatever their side
    source=(
        'Li, Li and Vasconcelos, RESOUND (ECCV 2018), version 2 of the labels; class names as mmaction2 ships them'
    ),
    licence='research use',
    obtain='http://www.svcl.ucsd.edu/projects/resound/dataset.html (videos and the V2 json files)',
    prepare='python tools/prepare.py diving48 --root VIDEOS --annotations LABELS',
)
recipes = dict(finetune='finetune_{family}_ucf101')
prepare_from = dict(
    needs='Diving48_V2_train.json and Diving48_V2_test.json',
    train=dict(files=['Diving48_V2_train.json'], video='{vid_name}.mp4', number='label'),
    test=dict(files=['Diving48_V2_test.json'], video='{vid_name}.mp4', number='label'),
)
