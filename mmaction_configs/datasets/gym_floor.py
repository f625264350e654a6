"""Gym99 classes 6 to 40, the floor: 35 classes, 5,385 train and 2,226 test clips.

Labels count from the first of these classes. From elements cut to clips, as for gym99:
    python tools/prepare.py gym_floor --root VIDEOS
"""

_base_ = 'gym99.py'

data_root = '{{$SIGMA_DATA:data}}/gym_floor'
dataset_info = dict(
    name='gym_floor',
    classes=[
        '(FX) switch leap with 0.5 turn',
        '(FX) switch leap with 1 turn',
        '(FX) split leap with 1 turn',
        '(FX) split leap with 1.5 turn or more',
        '(FX) switch leap (leap forward with leg change to cross split)',
        '(FX) split jump with 1 turn',
        '(FX) split jump (leg separation 180 degree parallel to the floor)',
        '(FX) johnson with additional 0.5 turn',
        '(FX) straddle pike or side split jump with 1 turn',
        '(FX) switch leap to ring position',
        '(FX) stag jump',
        '(FX) 2 turn with free leg held upward in 180 split position throughout turn',
        '(FX) 2 turn in tuck stand on one leg, free leg straight throughout turn',
        '(FX) 3 turn on one leg, free leg optional below horizontal',
        '(FX) 2 turn on one leg, free leg optional below horizontal',
        '(FX) 1 turn on one leg, free leg optional below horizontal',
        '(FX) 2 turn or more with heel of free leg forward at horizontal throughout turn',
        '(FX) 1 turn with heel of free leg forward at horizontal throughout turn',
        '(FX) arabian double salto tucked',
        '(FX) salto forward tucked',
        '(FX) aerial walkover forward',
        '(FX) salto forward stretched with 2 twist',
        '(FX) salto forward stretched with 1 twist',
        '(FX) salto forward stretched with 1.5 twist',
        '(FX) salto forward stretched, feet land together',
        '(FX) double salto backward stretched',
        '(FX) salto backward stretched with 3 twist',
        '(FX) salto backward stretched with 2 twist',
        '(FX) salto backward stretched with 2.5 twist',
        '(FX) salto backward stretched with 1.5 twist',
        '(FX) double salto backward tucked with 2 twist',
        '(FX) double salto backward tucked with 1 twist',
        '(FX) double salto backward tucked',
        '(FX) double salto backward piked with 1 twist',
        '(FX) double salto backward piked',
    ],
    splits=dict(
        train=dict(
            list='train.txt', sha256='7e7fbd7e0d724c897a50f67e36758d914320aff931201e9beb6245dbf2d73ff7', num_videos=5385
        ),
        test=dict(
            list='test.txt', sha256='4c962dcb282a6f4cb4832e7fca011398ce9e23f8ec33d66f53441d45dca0bfcb', num_videos=2226
        ),
    ),
    metric='mean_class',
    prepare='python tools/prepare.py gym_floor --root VIDEOS',
)
