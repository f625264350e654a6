"""UCFRep (UCF526): repetition counting in 526 videos of UCF101, 421 train and 105 test.

A label is the number of cycles. annotations.json has the frames at which they begin and end, and the first and last
frame of the section that is counted in, as published. All count from 0 (the published ones count from 1). LABELS
holds ucf526_annotations.zip, or its unpacked folders train and val:
    python tools/prepare.py ucfrep --root UCF-101 --annotations LABELS
"""

data_root = '{{$SIGMA_DATA:data}}/ucfrep'
dataset_info = dict(
    name='ucfrep',
    short='UCFRep',
    task='repetition',
    splits=dict(
        train=dict(
            list='train.txt', sha256='37fa3070e4a65a7d2930e341cdc98db581bcfdf237ca7e6d53e8fa4626b8f14b', num_videos=421
        ),
        test=dict(
            list='test.txt', sha256='4785c787e19a1b6a091068565a6a57d133c593b14bd3e9bf276e8ec219f1dce0', num_videos=105
        ),
    ),
    annotations='annotations.json',
    sections=True,  # annotations have the `section` of each video; a folder prepared before that is refused
    delimiter=' ',
    index='index.jsonl',
    metric='count_error',
    flips_change_label=False,  # a mirrored video has as many cycles
    source='Zhang, Xu, Han and He, Context-aware and scale-insensitive temporal repetition counting (CVPR 2020)',
    licence='labels: none stated; videos: those of UCF101',
    obtain=(
        'labels: https://github.com/Xiaodomgdomg/Deep-Temporal-Repetition-Counting (ucf526_annotations.zip); '
        'videos: UCF101, https://www.crcv.ucf.edu/data/UCF101.php'
    ),
    prepare='python tools/prepare.py ucfrep --root VIDEOS --annotations LABELS',
)
prepare_from = dict(reader='ucfrep', needs='ucf526_annotations.zip, or its unpacked folders train and val')
