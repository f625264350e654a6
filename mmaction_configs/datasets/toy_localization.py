"""Toy localization: long clips in which one of two movers does one of six motions, three to five times.

How and why: sigma/datasets/toy/forms.py. For finding out that all works and for comparing encoders at small scale; it
stands for no published dataset. 80 train and 30 test clips of 12.8 seconds, made in about 20 s of processor time by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy_localization" --form localization
The list hashes are those of the default seed and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy_localization'
dataset_info = dict(
    name='toy_localization',
    task='localization',
    classes=['circle_ccw', 'circle_cw', 'grow_and_shrink', 'spin', 'to_and_fro', 'up_and_down'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='2c2832d9f4c583c955ae4b66d67fce8f343534cbbefcb57975036c024989e59c', num_videos=80
        ),
        test=dict(
            list='test.txt', sha256='639f52903c8e5e6ac3e9a5102d8c88123f6df8230e580eea93b7e8f739237789', num_videos=30
        ),
    ),
    annotations='annotations.json',
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    metric='map_30_70',
    flips_change_label=True,
    sampling=dict(num_frames=16, stride_frames=2),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_localization" --form localization',
)
