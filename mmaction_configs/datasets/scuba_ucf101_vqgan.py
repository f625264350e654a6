"""SCUBA: test videos of UCF101 (fold 1) whose background is replaced by generated pictures; for testing alone.

python tools/prepare.py scuba_ucf101_vqgan --root FRAMES --annotations LIST
"""

_base_ = 'scuba_ucf101_places365.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_ucf101_vqgan'
dataset_info = dict(
    name='scuba_ucf101_vqgan',
    prepare='python tools/prepare.py scuba_ucf101_vqgan --root FRAMES --annotations LIST',
)
