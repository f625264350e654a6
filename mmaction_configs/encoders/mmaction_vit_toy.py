"""mmaction2's own VideoMAE backbone with the demo's SIGMA-MLP weights, as an example of one of its backbones."""

encoder = dict(
    backbone=dict(
        type='sigma.FeatureMapTokens',
        embed_dims=128,
        backbone=dict(
            type='mmaction.VisionTransformer',
            img_size=64,
            patch_size=16,
            embed_dims=128,
            depth=4,
            num_heads=4,
            num_frames=16,
            tubelet_size=2,
            return_feat_map=True,
            use_mean_pooling=False,  # keeps the final norm of pretraining
        ),
    ),
    embed_dims=128,
    checkpoint='{{$SIGMA_RUNS:work_dirs/quickstart}}/pretrain/demo_sigma-mlp_vit-t_toy/encoder.safetensors',
    sha256=None,
    layout='mmaction',
    inner='backbone',
    clip=dict(num_frames=16, stride_frames=2, size=64),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    finetune=dict(backbone=dict(use_mean_pooling=True)),  # no final norm; the head has one
    finetune_drop=('norm.',),
    pretraining_data='toy, train split, no labels',
    source='mmaction2 1.2.0, VisionTransformer, with converted weights',
    make='bash tools/quickstart.sh',
)
