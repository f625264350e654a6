"""The layout of mmaction2's VisionTransformer: patch_embed.projection, blocks.0.mlp.layers.0.0, q_bias and v_bias."""

from torch import Tensor

from sigma.checkpoints.names import rename
from sigma.checkpoints.published import split_qkv_bias

_TO_OURS = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'\.mlp\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.mlp\.layers\.1\.', '.mlp.fc2.'),
)
_FROM_OURS = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'\.mlp\.fc1\.', '.mlp.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.mlp.layers.1.'),
)


def from_mmaction(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """mmaction2's backbone -> ours, with the biases still split."""
    return rename(tensors, _TO_OURS)


def to_mmaction(encoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our encoder -> mmaction2's backbone. `positions` (N, D) become its `pos_embed` (1, N, D)."""
    tensors = {name: tensor for name, tensor in encoder.items() if name != 'positions'}
    tensors = rename(split_qkv_bias(tensors), _FROM_OURS)
    if 'positions' in encoder:
        tensors['pos_embed'] = encoder['positions'][None]
    return tensors
