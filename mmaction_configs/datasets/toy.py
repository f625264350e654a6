"""Toy: photographs that move over other photographs, rendered from a seed; only the order of frames tells the class.

How and why: sigma/datasets/toy/render.py. It is for finding out that all works and for comparing encoders at small
scale, and stands for no published dataset. 10 classes, 160 train and 40 test clips each, made in about 20 s on two
cores by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy"
The list hashes are those of the default seed, level and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy'
dataset_info = dict(
    name='toy',
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
            list='train.txt', sha256='7d8f7bc73cbbd173942f88a237e1a4df22e07f7fe3e4ab8c64e5a899cf5c8fd3', num_videos=1600
        ),
        test=dict(
            list='test.txt', sha256='5d792147596f4a9dbbe8d49cac839cc77ae92cbac214231a114da425eac44218', num_videos=400
        ),
    ),
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=True,
    sampling=dict(num_frames=16, stride_frames=2),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy"',
)
