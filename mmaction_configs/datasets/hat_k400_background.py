"""HAT: test videos of Kinetics-400, the human painted over. For testing only.

A model that looks at the action is at chance (protocol `out_of_context`). DIR holds one folder of pictures per video
under `inp` (painted over); the other kinds need `ori` (original) and `seg` (masks). LIST has `class/name frames class`
lines. The number of videos depends on the list, so the card states neither number nor hash:
    python tools/prepare.py hat_k400_background --root DIR --annotations LIST
"""

_base_ = '_base_/hat.py'

data_root = '{{$SIGMA_DATA:data}}/hat_k400_background'
dataset_info = dict(
    name='hat_k400_background',
    short='HAT-K400 background',
    classes='../annotations/k400/classes.txt',
    trained_on='k400',
    prepare='python tools/prepare.py hat_k400_background --root DIR --annotations LIST',
)
prepare_from = dict(pictures='background', base='k400')
