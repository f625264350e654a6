"""What the SCUBA sets share: test videos whose background is replaced. `scuba_ucf101_places365.py` explains them."""

dataset_info = dict(
    task='action_recognition',
    splits=dict(
        train=dict(  # nothing is trained on it
            list='train.txt', sha256='e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', num_videos=0
        ),
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
)
prepare_from = dict(pictures='frames')
