"""SCUBA: test videos of HMDB51 (split 1), the background replaced by photographs of places. For testing only.

python tools/prepare.py scuba_hmdb51_places365 --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_hmdb51_places365'
dataset_info = dict(
    name='scuba_hmdb51_places365',
    short='SCUBA-HMDB51 places',
    classes='../annotations/hmdb51/classes.txt',
    trained_on='hmdb51',
    prepare='python tools/prepare.py scuba_hmdb51_places365 --root FRAMES --annotations LIST',
)
prepare_from = dict(base='hmdb51')
