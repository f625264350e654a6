"""Toy repetition: a mover circles or swings 2 to 8 times in 64 to 96 frames; the label is the count.

How and why: sigma/datasets/toy/forms.py. 240 train and 100 test clips, every count from 2 to 8 about equally often.
About 13 s of CPU time:
    python tools/prepare.py toy --out data/toy_repetition --form repetition
"""

_base_ = '_base_/toy.py'

data_root = '{{$SIGMA_DATA:data}}/toy_repetition'
dataset_info = dict(
    name='toy_repetition',
    short='toy repetition',
    task='repetition',
    splits=dict(
        train=dict(
            list='train.txt', sha256='093f979a9f23c14def690f6de87df6017e6c47f986ff9ab1921861f541e9b2df', num_videos=240
        ),
        test=dict(
            list='test.txt', sha256='ffd19a57ed8148d17e26b19dceb3d409403a167f6cd7e8c558ff8454e7207bd3', num_videos=100
        ),
    ),
    annotations='annotations.json',
    metric='count_error',
    flips_change_label=False,
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_repetition" --form repetition',
)
