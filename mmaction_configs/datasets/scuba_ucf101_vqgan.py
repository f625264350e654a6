"""SCUBA: test videos of UCF101 (fold 1), the background replaced by generated pictures. For testing only.

python tools/prepare.py scuba_ucf101_vqgan --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_ucf101_vqgan'
dataset_info = dict(
    name='scuba_ucf101_vqgan',
    short='SCUBA-UCF101 VQGAN',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py scuba_ucf101_vqgan --root FRAMES --annotations LIST',
)
prepare_from = dict(base='ucf101')
