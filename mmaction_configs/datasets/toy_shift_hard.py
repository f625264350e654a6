"""Toy shift, hard: as `toy_shift`, with smaller movers over photographs at full texture: the farther domain shift.

How and why: sigma/datasets/toy/render.py. For finding out that all works and for comparing encoders at small scale;
it stands for no published dataset. 10 classes, 160 train and 40 test clips each, made by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy_shift_hard" --domain shift --level hard
The list hashes are those of the default seed and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy_shift_hard'
dataset_info = dict(
    name='toy_shift_hard',
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
            list='train.txt', sha256='0a0bd734ef20fd7e7970d5f8458226ef19d39954b1f5575b673b55f5d770abdb', num_videos=1600
        ),
        test=dict(
            list='test.txt', sha256='ed7f5c411f53aa82cffcd3a74f9cbafc9e1fb43d5b978ac1888627be1542c0a2', num_videos=400
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
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_shift_hard" --domain shift --level hard',
)
