"""Toy repetition: a mover goes round or to and fro 2 to 8 times, in 64 to 96 frames; the label is the count.

How and why: sigma/datasets/toy/forms.py. For finding out that all works and for comparing encoders at small scale; it
stands for no published dataset. Every count from 2 to 8 about equally often in 240 train and 100 test clips, made in
about 13 s of processor time by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy_repetition" --form repetition
The list hashes are those of the default seed and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy_repetition'
dataset_info = dict(
    name='toy_repetition',
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
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    metric='count_error',
    flips_change_label=False,
    sampling=dict(num_frames=16, stride_frames=2),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_repetition" --form repetition',
)
