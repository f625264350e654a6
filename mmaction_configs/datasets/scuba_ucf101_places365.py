"""SCUBA: test videos of UCF101 (fold 1), the background replaced by photographs of places. For testing only.

A model trained on the originals should still be right, and wrong when one frame stands for the whole video (SCUFO;
protocol `out_of_context`). FRAMES holds one folder of pictures per video, LIST has `name frames class` lines. The card
states neither the number of videos nor a hash, since both depend on the release:
    python tools/prepare.py scuba_ucf101_places365 --root FRAMES --annotations LIST
"""

_base_ = '_base_/scuba.py'

data_root = '{{$SIGMA_DATA:data}}/scuba_ucf101_places365'
dataset_info = dict(
    name='scuba_ucf101_places365',
    short='SCUBA-UCF101 places',
    classes='../annotations/ucf101/classes.txt',
    trained_on='ucf101',
    prepare='python tools/prepare.py scuba_ucf101_places365 --root FRAMES --annotations LIST',
)
prepare_from = dict(base='ucf101')
