"""Kinetics-400: 400 classes; the 19,906 test videos are the published validation list.

The train list is the user's own copy of the published csv (label,youtube_id,time_start,time_end,split): how many of
its videos are still available differs between copies, so the card states neither its hash nor its length. LABELS holds
train.csv:
    python tools/prepare.py k400 --root VIDEOS --annotations LABELS
"""

data_root = '{{$SIGMA_DATA:data}}/k400'
dataset_info = dict(
    name='k400',
    short='K400',
    task='action_recognition',
    classes='../annotations/k400/classes.txt',
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=None),  # the list that the user has
        test=dict(
            list='test.txt', sha256='f078b341e612322eb4a2fb98b0ac0f45fd31c13124bcd01643dc9fc2c0aad7db', num_videos=19906
        ),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # published recipes flip; none of the classes names a side
    source='Kay et al., Kinetics (arXiv:1705.06950); validation list with the project, see annotations/NOTICE.md',
    licence='CC BY 4.0 (annotations); the videos belong to their owners',
    obtain='https://github.com/cvdfoundation/kinetics-dataset (videos <YouTube id>_<start>_<end>.mp4, and train.csv)',
    prepare='python tools/prepare.py k400 --root VIDEOS --annotations LABELS',
)
recipes = dict(finetune='finetune_{family}_k400')
prepare_from = dict(
    needs='train.csv',
    train=dict(
        files=['train.csv', 'kinetics-400_train.csv', 'kinetics_train.csv'],
        video='{youtube_id}_{time_start:06d}_{time_end:06d}.mp4',
        label='label',
    ),
    test='k400/test.txt.gz',
    also_named=(r'^(.{11}).*$', r'\1'),  # the YouTube id alone
)
