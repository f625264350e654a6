"""HAT: test videos of UCF101 with the human painted over; for testing alone.

python tools/prepare.py hat_ucf101_background --root DIR --annotations LIST
"""

_base_ = 'hat_k400_background.py'

data_root = '{{$SIGMA_DATA:data}}/hat_ucf101_background'
dataset_info = dict(
    name='hat_ucf101_background',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py hat_ucf101_background --root DIR --annotations LIST',
)
