"""THUMOS-14: 20 sports in long videos; 200 train videos (its validation set) and 211 test videos.

LABELS holds `thumos_14_anno.json` as read by OpenTAD and ActionFormer (it may not be shipped). G-TAD's
`thumos_gt.json` lists 210 test videos and is rejected. VIDEOS holds TH14_validation_set_mp4 and TH14_test_set_mp4:
    python tools/prepare.py thumos14 --root VIDEOS --annotations LABELS
All 360 segments of CliffDiving are also segments of Diving, with the same times, so suppression is per class.
"""

data_root = '{{$SIGMA_DATA:data}}/thumos14'
dataset_info = dict(
    name='thumos14',
    short='THUMOS14',
    task='localization',
    classes=[
        'BaseballPitch',
        'BasketballDunk',
        'Billiards',
        'CleanAndJerk',
        'CliffDiving',
        'CricketBowling',
        'CricketShot',
        'Diving',
        'FrisbeeCatch',
        'GolfSwing',
        'HammerThrow',
        'HighJump',
        'JavelinThrow',
        'LongJump',
        'PoleVault',
        'Shotput',
        'SoccerPenalty',
        'TennisSwing',
        'ThrowDiscus',
        'VolleyballSpiking',
    ],
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=200),  # its text may not be shipped
        test=dict(list='test.txt', sha256=None, num_videos=211),  # as above
    ),
    annotations='annotations.json',
    delimiter=' ',
    index='index.jsonl',
    metric='map_30_70',
    rules=dict(
        duplicates='keep',
        shortest_seconds=0.0,
        ambiguous='segments labelled Ambiguous are left out when prepared',
        blocked=[],
    ),
    flips_change_label=False,
    sampling=dict(num_frames=16, stride_frames=1, step_frames=4),
    source='Idrees et al., The THUMOS challenge (CVIU 2017)',
    licence='research use',
    obtain='https://www.crcv.ucf.edu/THUMOS14 (videos), and thumos_14_anno.json as OpenTAD offers it',
    prepare='python tools/prepare.py thumos14 --root VIDEOS --annotations LABELS',
)
prepare_from = dict(
    reader='activitynet',
    needs='thumos_14_anno.json',
    file='thumos_14_anno.json',  # `training` is the validation set of the challenge, `validation` its test set
)
