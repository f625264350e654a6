"""HAT: test videos of UCF101, everything but the human in one colour. For testing only.

python tools/prepare.py hat_ucf101_human --root DIR --annotations LIST
"""

_base_ = '_base_/hat.py'

data_root = '{{$SIGMA_DATA:data}}/hat_ucf101_human'
dataset_info = dict(
    name='hat_ucf101_human',
    short='HAT-UCF101 human',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py hat_ucf101_human --root DIR --annotations LIST',
)
prepare_from = dict(pictures='human', base='ucf101')
