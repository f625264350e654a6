"""R(2+1)D-18 for 32 frames of 112 x 112 with RANDOM weights; with yours as r2plus1d_18@FILE.

FILE has torchvision's tensor names (stem.0.weight, layer1.0.conv1.0.0.weight, ...), or is a file of GDT, RSPNet,
Pretext-Contrast, MoCo, VideoMoCo, SeLaVi, AVID-CMA, CtP or Tubelet-Contrast. Classifiers are ignored.
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
    layout='r2plus1d',  # names of torchvision, or of the methods that SEVERE measures
    drop=('fc.',),
    pretraining_data=None,
    source='torchvision r2plus1d_18 (arXiv:1711.11248)',
)
