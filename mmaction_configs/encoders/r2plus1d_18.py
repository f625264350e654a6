"""R(2+1)D-18 for 32 frames of 112x112. Random weights; name yours on the command line: r2plus1d_18@FILE.

FILE holds torchvision's names (stem.0.weight, layer1.0.conv1.0.0.weight, ...); its classifier, if any, is left out.
"""

encoder = dict(
    backbone=dict(type='sigma.R2Plus1D18'),
    embed_dims=512,
    family='r2plus1d',
    checkpoint=None,
    sha256=None,
    clip=dict(num_frames=32, stride_frames=2, size=112),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    layout='plain',  # tensors bear the backbone's own names
    drop=('fc.',),
    pretraining_data=None,
    source='torchvision r2plus1d_18 (arXiv:1711.11248)',
)
