"""Toy two movers: each does one of six motions for a while; the labels are the motions of a clip, one or two.

How and why: sigma/datasets/toy/forms.py. For finding out that all works and for comparing encoders at small scale; it
stands for no published dataset. 240 train and 100 test clips, made in about 15 s of processor time by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy_two_movers" --form two_movers
The list hashes are those of the default seed and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy_two_movers'
dataset_info = dict(
    name='toy_two_movers',
    task='multi_label',
    classes=['circle_ccw', 'circle_cw', 'grow_and_shrink', 'spin', 'to_and_fro', 'up_and_down'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='f3782a7489661407cbc15ed4e9299e023067a081e9ba926e809dd82a4bdeed28', num_videos=240
        ),
        test=dict(
            list='test.txt', sha256='8d71d467517545b3e2b719f9282aa917d729124f7a623289ebf6cf35aa62b3f5', num_videos=100
        ),
    ),
    annotations='annotations.json',
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    metric='mean_average_precision',
    flips_change_label=True,
    sampling=dict(num_frames=16, stride_frames=4),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_two_movers" --form two_movers',
)
