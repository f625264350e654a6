"""What the HAT sets share: test videos with human or background removed. `hat_k400_background.py` explains them."""

dataset_info = dict(
    task='action_recognition',
    splits=dict(
        train=dict(  # nothing is trained on it
            list='train.txt', sha256='e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', num_videos=0
        ),
        test=dict(list='test.txt', sha256=None, num_videos=None),
    ),
    video_root='videos',
    delimiter='\t',  # folders are named after classes, which have spaces
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    source='Chung, Wu and Russakovsky, Enabling Detailed Action Recognition Evaluation (NeurIPS 2022 D&B), HAT',
    licence='none of its own; the videos belong to their owners',
    obtain='https://github.com/princetonvisualai/HAT (pictures, masks and painted-over pictures, lists, pairs)',
)
