"""Toy stills: images of a cross, a disc, a square or a triangle over a blurred photograph; the shape is the class.

How: sigma/datasets/toy/stills.py. 60 train and 20 test images of each class, a few seconds:
    python tools/prepare.py toy --out data/toy_stills --form stills
"""

_base_ = '_base_/toy.py'

data_root = '{{$SIGMA_DATA:data}}/toy_stills'
dataset_info = dict(
    name='toy_stills',
    short='toy stills',
    task='action_recognition',
    classes=['cross', 'disc', 'square', 'triangle'],
    splits=dict(
        train=dict(
            list='train.txt', sha256='9df315c105c38e93b2c645a5f9cd442f291388cec0a3f86323b63d760d4145fd', num_videos=240
        ),
        test=dict(
            list='test.txt', sha256='0b3f46d023b8968436532c96495018d60ab9582387f0948bb63a115d73a4d853', num_videos=80
        ),
    ),
    video_root='images',
    metric='top1',
    flips_change_label=False,
    stills=True,
    source='rendered by sigma/datasets/toy/stills.py over photographs inside scikit-image',
    prepare='python tools/prepare.py toy --out "$SIGMA_DATA/toy_stills" --form stills',
)
