"""FineGym, 288 classes: 22,671 train and 9,646 test clips; class 138 occurs in test alone.

From elements cut to clips, as for gym99:
    python tools/prepare.py gym288 --root VIDEOS
"""

data_root = '{{$SIGMA_DATA:data}}/gym288'
dataset_info = dict(
    name='gym288',
    task='action_recognition',
    classes='../annotations/gym288/classes.txt',
    splits=dict(
        train=dict(
            list='train.txt',
            sha256='90c1d252e6d28a77441cc5a51c018a889f468b3909c975247d00f465231faab3',
            num_videos=22671,
        ),
        test=dict(
            list='test.txt', sha256='79bbf4b13361a9c82da569d71403c00b57360b408769fd9c764331a1450ff335', num_videos=9646
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='mean_class',
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
    prepare='python tools/prepare.py gym288 --root VIDEOS',
)
