"""HAT: test videos of Kinetics-400, everything but the human in one colour. For testing only.

python tools/prepare.py hat_k400_human --root DIR --annotations LIST
"""

_base_ = '_base_/hat.py'

data_root = '{{$SIGMA_DATA:data}}/hat_k400_human'
dataset_info = dict(
    name='hat_k400_human',
    short='HAT-K400 human',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    prepare='python tools/prepare.py hat_k400_human --root DIR --annotations LIST',
)
prepare_from = dict(pictures='human', base='k400')
