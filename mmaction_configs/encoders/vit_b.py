"""ViT-B for 16 frames of 224 x 224 with RANDOM weights; with yours as vit_b@FILE.

FILE is what pretraining writes (`encoder.safetensors`), or a released checkpoint of SIGMA, VideoMAE, MGMAE or VideoMAE
V2, pretrained or fine-tuned. Those of MVD have other positions: mvd_vit_b@FILE.
"""

encoder = dict(
    backbone=dict(type='sigma.VideoViT', arch='base'),
    embed_dims=768,
    checkpoint=None,
    sha256=None,
    clip=dict(num_frames=16, stride_frames=4, size=224),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    finetune=dict(final_norm=False),  # the head has its own norm
    finetune_drop=('norm.',),
    positions='videomae',  # of a fine-tuned file that does not say them, as DeepSpeed writes it
    pretraining_data=None,
    source='VideoMAE (arXiv:2203.12602), SIGMA (arXiv:2407.15447): the architecture of both',
)
