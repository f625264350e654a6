"""The tiny video transformer that `tools/quickstart.sh` pretrains as a pixel VideoMAE on `toy`."""

encoder = dict(
    backbone=dict(type='sigma.VideoViT', arch='tiny', image_size=64, num_frames=16, patch_size=16, tubelet_size=2),
    embed_dims=128,
    checkpoint='{{$SIGMA_RUNS:work_dirs/quickstart}}/pretrain/demo_videomae_vit-t_toy/encoder.safetensors',
    sha256=None,  # whatever lies there; the record says which
    clip=dict(num_frames=16, stride_frames=2, size=64),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    finetune=dict(final_norm=False),  # the head has a norm of its own
    finetune_drop=('norm.',),
    pretraining_data='toy, train split, no labels',
    source='VideoMAE (arXiv:2203.12602), tiny, see the config',
    make='bash tools/quickstart.sh',
)
