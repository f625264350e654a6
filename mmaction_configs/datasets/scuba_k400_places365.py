"""SCUBA: test videos of Kinetics-400, the background replaced by photographs of places. For testing only.

python tools/prepare.py scuba_k400_places365 --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_k400_places365'
dataset_info = dict(
    name='scuba_k400_places365',
    short='SCUBA-K400 places',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    prepare='python tools/prepare.py scuba_k400_places365 --root FRAMES --annotations LIST',
)
prepare_from = dict(base='k400')
