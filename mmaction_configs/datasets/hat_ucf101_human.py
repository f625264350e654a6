"""HAT: test videos of UCF101 with all but the human in one colour; for testing alone.

python tools/prepare.py hat_ucf101_human --root DIR --annotations LIST
"""

_base_ = 'hat_k400_background.py'

data_root = '{{$SIGMA_DATA:data}}/hat_ucf101_human'
dataset_info = dict(
    name='hat_ucf101_human',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py hat_ucf101_human --root DIR --annotations LIST',
)
