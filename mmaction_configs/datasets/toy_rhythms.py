"""Toy rhythms: one turn, hurried at one of four places; the frames are the same in every class (granularity).

How and why: sigma/datasets/toy/forms.py. For finding out that all works and for comparing encoders at small scale; it
stands for no published dataset. 4 classes, 80 train and 40 test clips each, made in about 10 s of processor time by
    python tools/prepare.py toy --out "$SIGMA_DATA/toy_rhythms" --form rhythms
The list hashes are those of the default seed and number of clips; 64 and 112 pixels share them.
"""

data_root = '{{$SIGMA_DATA:data}}/toy_rhythms'
dataset_info = dict(
    name='toy_rhythms',
    task='action_recognition',
    classes=['hurry_at_00', 'hurry_at_04', 'hurry_at_08', 'hurry_at_12'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='3571699d5625b062d396f00ef984fa6fa2e9f4883240f134e123daa6135c9970', num_videos=320
        ),
        test=dict(
            list='test.txt', sha256='e471fb6fd827d1fa59295aed92905ce5b600d3f699517df4e01078c6081bb454', num_videos=160
        ),
    ),
    video_root='videos',
    delimiter=' ',
    index='index.jsonl',
    metric='mean_class',
    flips_change_label=False,
    sampling=dict(num_frames=16, stride_frames=2),
    size=64,
    source='rendered by sigma/datasets/toy/render.py from photographs inside scikit-image',
    licence='photographs: as scikit-image states beside each, mostly public domain or CC0',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_rhythms" --form rhythms',
)
