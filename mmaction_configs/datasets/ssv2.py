"""Something-Something V2: 174 classes, 168,913 train and 24,777 test videos (the published validation json).

The published test json has no labels. LABELS holds the json files of the download:
    python tools/prepare.py ssv2 --root VIDEOS --annotations LABELS
"""

data_root = '{{$SIGMA_DATA:data}}/ssv2'
dataset_info = dict(
    name='ssv2',
    short='SSv2',
    task='action_recognition',
    classes='../annotations/ssv2/classes.txt',
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=168913),  # its text may not be shipped
        test=dict(
            list='test.txt', sha256='b93ad7e9b3bd8ba4a575fb7f4a95519a381a1804fdc286194bf64964b2669991', num_videos=24777
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=True,  # 'from left to right' becomes 'from right to left'
    source=(
        'Goyal et al., Something Something (ICCV 2017), version 2; labels from the download, class names as '
        'mmaction2 ships them'
    ),
    licence='Qualcomm research licence; neither videos nor labels may be passed on',
    obtain=(
        'the page of the Something-Something V2 dataset at Qualcomm (videos <id>.webm, and the json files of labels)'
    ),
    prepare='python tools/prepare.py ssv2 --root VIDEOS --annotations LABELS',
)
recipes = dict(finetune='finetune_{family}_ssv2')
prepare_from = dict(
    needs='something-something-v2-train.json and -validation.json',
    train=dict(
        files=['something-something-v2-train.json', 'train.json'],
        video='{id}.webm',
        label='template',
        replace=[('[', ''), (']', '')],  # a class name is the template without its brackets
    ),
    test=dict(
        files=['something-something-v2-validation.json', 'validation.json'],
        video='{id}.webm',
        label='template',
        replace=[('[', ''), (']', '')],
    ),
)
