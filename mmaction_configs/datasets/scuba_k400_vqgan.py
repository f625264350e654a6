"""SCUBA: test videos of Kinetics-400, the background replaced by generated pictures. For testing only.

python tools/prepare.py scuba_k400_vqgan --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_k400_vqgan'
dataset_info = dict(
    name='scuba_k400_vqgan',
    short='SCUBA-K400 VQGAN',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    prepare='python tools/prepare.py scuba_k400_vqgan --root FRAMES --annotations LIST',
)
prepare_from = dict(base='k400')
