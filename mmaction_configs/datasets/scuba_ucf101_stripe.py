"""SCUBA: test videos of UCF101 (fold 1) whose background is replaced by stripes; for testing alone.

python tools/prepare.py scuba_ucf101_stripe --root FRAMES --annotations LIST
"""

_base_ = 'scuba_ucf101_places365.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_ucf101_stripe'
dataset_info = dict(
    name='scuba_ucf101_stripe',
    prepare='python tools/prepare.py scuba_ucf101_stripe --root FRAMES --annotations LIST',
)
