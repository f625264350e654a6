"""ActivityNet-1.3: 200 activities in untrimmed videos; the validation set is the test split.

The ground truth may not be shipped. It comes in two layouts that list different videos: the official
`activity_net.v1-3.min.json`, or BSN's `anet_anno_action.json` with `video_info_new.csv` (9,649 and 4,728 videos,
those with BSN's features; mmaction2 reads these). The list hash in a record tells which was used.
    python tools/prepare.py activitynet --root VIDEOS --annotations LABELS
No video is blocked, since OpenTAD's list of blocked videos is not available. If you have one, put it in `rules`.
"""

data_root = '{{$SIGMA_DATA:data}}/activitynet'
dataset_info = dict(
    name='activitynet',
    short='ActivityNet',
    task='localization',
    classes='../annotations/activitynet/classes.txt',
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=None),  # two published layouts
        test=dict(list='test.txt', sha256=None, num_videos=None),  # as above
    ),
    annotations='annotations.json',
    delimiter=' ',
    index='index.jsonl',
    metric='map_50_95',
    rules=dict(duplicates='keep', shortest_seconds=0.0, ambiguous='there is no such label', blocked=[]),
    flips_change_label=False,
    sampling=dict(num_frames=16, stride_frames=4, step_frames=8),
    source='Caba Heilbron et al., ActivityNet (CVPR 2015), version 1.3',
    licence='annotations: MIT; videos: their owners',
    obtain='http://activity-net.org (videos on request, and activity_net.v1-3.min.json)',
    prepare='python tools/prepare.py activitynet --root VIDEOS --annotations LABELS',
)
prepare_from = dict(
    reader='activitynet',
    needs='activity_net.v1-3.min.json, or anet_anno_action.json and video_info_new.csv',
    file='activity_net.v1-3.min.json',
    prefix='v_',
    bsn_files=('anet_anno_action.json', 'video_info_new.csv'),
    also_named=('^v_', ''),
)
