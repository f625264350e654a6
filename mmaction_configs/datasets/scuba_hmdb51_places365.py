"""SCUBA: test videos of HMDB51 (split 1) whose background is replaced by photographs of places; for testing alone.

python tools/prepare.py scuba_hmdb51_places365 --root FRAMES --annotations LIST
"""

_base_ = 'scuba_ucf101_places365.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_hmdb51_places365'
dataset_info = dict(
    name='scuba_hmdb51_places365',
    classes='../annotations/hmdb51/classes.txt',
    trained_on='hmdb51',
    prepare='python tools/prepare.py scuba_hmdb51_places365 --root FRAMES --annotations LIST',
)
