"""HAT: test videos of Kinetics-400 with all but the human in one colour; for testing alone.

python tools/prepare.py hat_k400_human --root DIR --annotations LIST
"""

_base_ = 'hat_k400_background.py'

data_root = '{{$SIGMA_DATA:data}}/hat_k400_human'
dataset_info = dict(
    name='hat_k400_human',
    prepare='python tools/prepare.py hat_k400_human --root DIR --annotations LIST',
)
