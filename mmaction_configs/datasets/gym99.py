"""FineGym, 99 classes of gymnastic elements: 20,484 train and 8,521 test clips (the published validation list).

As domain shift it is scored by top-1; the sets of classes inside it (gym_fx_s1, gym_ub_s1, gym_vault, gym_floor) and
gym288 are scored by mean per class, as SEVERE prints granularity. Lists in published order, so that the published draws
of 1000 clips come out again. From elements cut to clips:
    python tools/prepare.py gym99 --root VIDEOS
"""

data_root = '{{$SIGMA_DATA:data}}/gym99'
dataset_info = dict(
    name='gym99',
    task='action_recognition',
    classes='../annotations/gym99/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt',
            sha256='90843a99a1a0f799849fce5fc1341afd29ea26ae822623e66adee17865bfbfd2',
            num_videos=20484,
        ),
        test=dict(
            list='test.txt', sha256='f94f92da8eb3810757bef166e67bcbe55f417532aaee986f0a89dcf252f2ef24', num_videos=8521
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source=(
        'Shao, Zhao, Dai and Lin, FineGym (CVPR 2020), version 1.0; lists and class names with the project, see '
        'annotations/NOTICE.md'
    ),
    licence='CC BY-NC 4.0 (annotations); the videos belong to their owners',
    obtain=(
        'videos named in the lists from YouTube by the tools of https://sdolivia.github.io/FineGym/, cut to '
        'elements and named <element id>.mp4 (or another ending): <YouTube id>_E_<start>_<end>_A_<start>_<end>'
    ),
    prepare='python tools/prepare.py gym99 --root VIDEOS',
)
