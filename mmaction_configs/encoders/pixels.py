"""Raw gray pixels, 16 x 16 at 8 moments of a clip: no network. What an encoder adds to them is what it has learnt.

Before a fixed camera this floor is high; read it beside the row of random weights.
"""

encoder = dict(
    backbone=dict(type='sigma.GrayPixels', size=16, num_steps=8),
    embed_dims=256,
    checkpoint=None,
    sha256=None,
    clip=dict(num_frames=16, stride_frames=2, size=64),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    pretraining_data=None,
    source='none',
)
