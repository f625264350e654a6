"""HAT: test videos of Kinetics-400, the human in front of another video's background. For testing only.

FILE is a pickle of pairs (random, close, far or same, three of each). Its name becomes part of the name of the set.
    python tools/prepare.py hat_k400_swap --root DIR --annotations LIST --pairs FILE
"""

_base_ = '_base_/hat.py'

data_root = '{{$SIGMA_DATA:data}}/hat_k400_swap'
dataset_info = dict(
    name='hat_k400_swap',
    short='HAT-K400 swap',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    prepare='python tools/prepare.py hat_k400_swap --root DIR --annotations LIST --pairs FILE',
)
prepare_from = dict(pictures='swap', base='k400')
