"""The tiny video transformer that `tools/quickstart.sh` pretrains with SIGMA-MLP on `toy`."""

_base_ = 'random.py'

encoder = dict(
    checkpoint='{{$SIGMA_RUNS:work_dirs/quickstart}}/pretrain/demo_sigma-mlp_vit-t_toy/encoder.safetensors',
    pretraining_data='toy, train split, no labels',
    source='SIGMA (arXiv:2407.15447), tiny, see the config',
    make='bash tools/quickstart.sh',
)
