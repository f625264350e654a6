"""Toy two movers: each makes one of six motions for a while; the labels are the motions in the clip, one or two.

How and why: sigma/datasets/toy/forms.py. 240 train and 100 test clips, about 15 s of CPU time:
    python tools/prepare.py toy --out data/toy_two_movers --form two_movers
"""

_base_ = '_base_/toy.py'

data_root = '{{$SIGMA_DATA:data}}/toy_two_movers'
dataset_info = dict(
    name='toy_two_movers',
    short='toy two movers',
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
    metric='mean_average_precision',
    flips_change_label=True,
    sampling=dict(num_frames=16, stride_frames=4),
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_two_movers" --form two_movers',
)
