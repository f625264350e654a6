"""SCUBA: test videos of UCF101 (fold 1), the background replaced by stripes. For testing only.

python tools/prepare.py scuba_ucf101_stripe --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_ucf101_stripe'
dataset_info = dict(
    name='scuba_ucf101_stripe',
    short='SCUBA-UCF101 stripe',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py scuba_ucf101_stripe --root FRAMES --annotations LIST',
)
prepare_from = dict(base='ucf101')
