"""CIFAR-100: 100 fine classes, 50,000 train and 10,000 test images of 32 x 32, as clips of identical frames.

From the folder `cifar-100-python` or `cifar-100-binary`, as the archive unpacks it; the images become files in
$SIGMA_DATA/cifar100/images (240 MB on most disks).
    python tools/prepare.py cifar100 --root FOLDER
"""

data_root = '{{$SIGMA_DATA:data}}/cifar100'
dataset_info = dict(
    name='cifar100',
    short='C-100',
    task='action_recognition',
    classes='../annotations/cifar100/classes.txt',
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=50000),
        test=dict(list='test.txt', sha256=None, num_videos=10000),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,  # no class names a side
    stills=True,
    source='Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)',
    licence='none stated; research use',
    obtain='https://www.cs.toronto.edu/~kriz/cifar.html (cifar-100-python.tar.gz or cifar-100-binary.tar.gz)',
    prepare='python tools/prepare.py cifar100 --root FOLDER',
)
prepare_from = dict(reader='cifar100', needs='cifar-100-python or cifar-100-binary')
