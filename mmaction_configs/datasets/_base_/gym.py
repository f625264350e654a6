"""What the FineGym cards share: videos, source and licence. `gym99.py` explains them."""

dataset_info = dict(
    task='action_recognition',
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
)
