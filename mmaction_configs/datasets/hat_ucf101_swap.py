"""HAT: test videos of UCF101, the human in front of another video's background. For testing only.

FILE is a pickle of pairs (random, close, far or same, three of each). Its name becomes part of the name of the set.
    python tools/prepare.py hat_ucf101_swap --root DIR --annotations LIST --pairs FILE
"""

_base_ = '_base_/hat.py'

data_root = '{{$SIGMA_DATA:data}}/hat_ucf101_swap'
dataset_info = dict(
    name='hat_ucf101_swap',
    short='HAT-UCF101 swap',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py hat_ucf101_swap --root DIR --annotations LIST --pairs FILE',
)
prepare_from = dict(pictures='swap', base='ucf101')
