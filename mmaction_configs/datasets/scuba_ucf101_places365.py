"""SCUBA: test videos of UCF101 (fold 1) whose background is replaced by photographs of places; for testing alone.

A model trained on the originals should still be right, and wrong where one frame stands for the video (SCUFO; protocol
`out_of_context`). FRAMES holds a folder of pictures a video, LIST has `name frames class` lines. How many videos there
are depends on the release, so the card states neither number nor hash:
    python tools/prepare.py scuba_ucf101_places365 --root FRAMES --annotations LIST
"""

data_root = '{{$SIGMA_DATA:data}}/scuba_ucf101_places365'
dataset_info = dict(
    name='scuba_ucf101_places365',
    task='action_recognition',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    splits=dict(
        train=dict(
            list='train.txt', sha256='e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', num_videos=0
        ),  # nothing is trained on it
        test=dict(list='test.txt', sha256=None, num_videos=None),
    ),
    video_root='videos',
    delimiter='\t',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source='Li et al., Mitigating and Evaluating Static Bias of Action Representations (ICCV 2023), StillMix',
    licence='none stated; the videos belong to their owners',
    obtain='https://github.com/lihaoxin05/StillMix (SCUBA videos as pictures, and the lists of the splits)',
    prepare='python tools/prepare.py scuba_ucf101_places365 --root FRAMES --annotations LIST',
)
