"""SCUBA: test videos of HMDB51 (split 1), the background replaced by stripes. For testing only.

python tools/prepare.py scuba_hmdb51_stripe --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_hmdb51_stripe'
dataset_info = dict(
    name='scuba_hmdb51_stripe',
    short='SCUBA-HMDB51 stripe',
    classes='../annotations/hmdb51/classes.txt',
    trained_on='hmdb51',
    prepare='python tools/prepare.py scuba_hmdb51_stripe --root FRAMES --annotations LIST',
)
prepare_from = dict(base='hmdb51')
