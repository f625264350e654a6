"""HAT: test videos of Kinetics-400 with the human painted over; for testing alone.

A model that looks at the action is at chance (protocol `out_of_context`). DIR holds `inp` (painted over), for
the other kinds `ori` (original) and `seg` (masks), a folder of pictures a video; LIST has `class/name frames class`
lines. How many videos there are depends on the list, so the card states neither number nor hash:
    python tools/prepare.py hat_k400_background --root DIR --annotations LIST
"""

data_root = '{{$SIGMA_DATA:data}}/hat_k400_background'
dataset_info = dict(
    name='hat_k400_background',
    task='action_recognition',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    splits=dict(
        train=dict(
            list='train.txt', sha256='e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', num_videos=0
        ),  # nothing is trained on it
        test=dict(list='test.txt', sha256=None, num_videos=None),
    ),
    video_root='videos',
    delimiter='\t',  # classes with spaces are folders
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source='Chung, Wu and Russakovsky, Enabling Detailed Action Recognition Evaluation (NeurIPS 2022 D&B), HAT',
    licence='none of its own; the videos belong to their owners',
    obtain='https://github.com/princetonvisualai/HAT (pictures, masks and painted-over pictures, lists, pairs)',
    prepare='python tools/prepare.py hat_k400_background --root DIR --annotations LIST',
)
