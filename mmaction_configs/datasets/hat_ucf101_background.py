"""HAT: test videos of UCF101, the human painted over. For testing only.

python tools/prepare.py hat_ucf101_background --root DIR --annotations LIST
"""

_base_ = '_base_/hat.py'

data_root = '{{$SIGMA_DATA:data}}/hat_ucf101_background'
dataset_info = dict(
    name='hat_ucf101_background',
    short='HAT-UCF101 background',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py hat_ucf101_background --root DIR --annotations LIST',
)
prepare_from = dict(pictures='background', base='ucf101')
