"""The tiny video transformer that `tools/quickstart.sh` pretrains as a pixel VideoMAE on `toy`."""

_base_ = 'random.py'

encoder = dict(
    checkpoint='{{$SIGMA_RUNS:work_dirs/quickstart}}/pretrain/demo_videomae_vit-t_toy/encoder.safetensors',
    pretraining_data='toy, train split, no labels',
    source='VideoMAE (arXiv:2203.12602), tiny, see the config',
    make='bash tools/quickstart.sh',
)
