"""HAT: test videos of UCF101 with the human before another video's background; for testing alone.

FILE is a pickle of pairs (random, close, far or same, three of each); its name becomes part of the set's.
    python tools/prepare.py hat_ucf101_swap --root DIR --annotations LIST --pairs FILE
"""

_base_ = 'hat_k400_background.py'

data_root = '{{$SIGMA_DATA:data}}/hat_ucf101_swap'
dataset_info = dict(
    name='hat_ucf101_swap',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py hat_ucf101_swap --root DIR --annotations LIST --pairs FILE',
)
