"""Charades, v1: 157 actions, several at a time; 7,985 train and 1,863 test videos.

A video's labels are all actions in it; annotations.json has their times in seconds. The licence forbids redistributing
lists and class names, so classes are named by their published numbers, and the card states no list hash.
LABELS holds Charades_v1_train.csv and Charades_v1_test.csv:
    python tools/prepare.py charades --root VIDEOS --annotations LABELS
"""

data_root = '{{$SIGMA_DATA:data}}/charades'
dataset_info = dict(
    name='charades',
    short='Charades',
    task='multi_label',
    classes=[f'c{number:03d}' for number in range(157)],
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=7985),  # its text may not be shipped
        test=dict(list='test.txt', sha256=None, num_videos=1863),  # as above
    ),
    annotations='annotations.json',
    delimiter=' ',
    index='index.jsonl',
    metric='mean_average_precision',
    flips_change_label=False,  # no action names a side
    sampling=dict(fps=24),  # the published protocol counts frames at this rate
    source='Sigurdsson et al., Hollywood in Homes (ECCV 2016), version 1',
    licence='AI2 licence for non-commercial use; neither videos nor labels may be passed on',
    obtain='https://prior.allenai.org/projects/charades (videos, and charades.zip with the csv files)',
    prepare='python tools/prepare.py charades --root VIDEOS --annotations LABELS',
)
recipes = dict(multi_label='multi_label_{family}')
prepare_from = dict(reader='charades', needs='Charades_v1_train.csv and Charades_v1_test.csv')
