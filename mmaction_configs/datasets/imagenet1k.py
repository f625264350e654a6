"""ImageNet-1K (ILSVRC 2012): 1,000 classes, 1,281,167 train and 50,000 validation images, as clips of identical frames.

Classes are the WordNet numbers in ascending order. `val` may be in class folders, or flat; then LABELS must hold
ILSVRC2012_validation_ground_truth.txt and meta.mat (folder `data` of the development kit), or LOC_val_solution.csv.
    python tools/prepare.py imagenet1k --root IMAGES [--annotations LABELS]
"""

data_root = '{{$SIGMA_DATA:data}}/imagenet1k'
dataset_info = dict(
    name='imagenet1k',
    short='IN-1K',
    task='action_recognition',
    classes='../annotations/imagenet1k/classes.txt',
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=1281167),
        test=dict(list='test.txt', sha256=None, num_videos=50000),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    stills=True,
    source='Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge (IJCV 2015)',
    licence='non-commercial research and education, on request',
    obtain='https://www.image-net.org/download.php (ILSVRC 2012: train, validation, development kit of tasks 1 and 2)',
    prepare='python tools/prepare.py imagenet1k --root IMAGES',
)
prepare_from = dict(
    reader='imagenet1k',
    needs='val in class folders, or ILSVRC2012_validation_ground_truth.txt and meta.mat, or LOC_val_solution.csv',
)
