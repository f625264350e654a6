"""Mimetics: 713 clips of 50 of Kinetics-400's classes, mimed without object or place; for testing only.

A head trained on Kinetics-400 chooses among the 50 classes (protocol `out_of_context`). The list is the user's own
copy of the published csv (label,youtube_id,time_start,time_end,...), so the card states no hash; LABELS holds
mimetics_v1.0.csv:
    python tools/prepare.py mimetics --root VIDEOS --annotations LABELS
"""

data_root = '{{$SIGMA_DATA:data}}/mimetics'
dataset_info = dict(
    name='mimetics',
    short='Mimetics',
    task='action_recognition',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    restricted=True,
    splits=dict(
        train=dict(
            list='train.txt', sha256='e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', num_videos=0
        ),  # nothing is trained on it
        test=dict(list='test.txt', sha256=None, num_videos=713),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # none of the classes names a side
    source='Weinzaepfel and Rogez, Mimetics: Towards Understanding Human Actions Out of Context (IJCV 2021)',
    licence='not stated here; the videos belong to their owners',
    obtain='the authors (mimetics_v1.0.csv; videos <YouTube id>_<start>_<end>.mp4)',
    prepare='python tools/prepare.py mimetics --root VIDEOS --annotations LABELS',
)
prepare_from = dict(
    needs='mimetics_v1.0.csv',
    test=dict(
        files=['mimetics_v1.0.csv'],
        video='{youtube_id}_{time_start:06d}_{time_end:06d}.mp4',
        label='label',
        replace=[('_', ' ')],
    ),
    also_named=(r'_0*(\d+)_0*(\d+)$', r'_\1_\2'),  # times without leading zeros
)
