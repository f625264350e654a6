"""Toy shift: the motions of `toy` with other photographs, at 30 frames a second, 3 frames apart: a domain shift.

How and why: sigma/datasets/toy/render.py. It is for finding out that all works and for comparing encoders at small
scale, and stands for no published dataset. 10 classes, 160 train and 40 test clips each, made in about 20 s on two
cores by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy_shift" --domain shift
The list hashes are those of the default seed, level and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy_shift'
dataset_info = dict(
    name='toy_shift',
    task='action_recognition',
    classes=[
        'back_ccw',
        'back_cw',
        'swing_ccw',
        'swing_cw',
        'turn1_ccw',
        'turn1_cw',
        'turn2_ccw',
        'turn2_cw',
        'turn3_ccw',
        'turn3_cw',
    ],
    splits=dict(
        train=dict(
            list='train.txt', sha256='3d07cdc499d809ca4cf158c9e1e1910ddc4f13fca96c2b46d6d8bc2fc312b0cb', num_videos=1600
        ),
        test=dict(
            list='test.txt', sha256='cbda89cbbad46dd82a16f2a8b9d583129254d70f6a42040af6d93d33b2313934', num_videos=400
        ),
    ),
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=True,
    sampling=dict(num_frames=16, stride_frames=3),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_shift" --domain shift',
)
