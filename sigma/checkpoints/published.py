"""The layout that SIGMA, VideoMAE, MGMAE and MVD released.

    encoder.blocks.0.attn.{q_bias, v_bias, qkv.weight}, encoder_to_decoder, mask_token, prototypes, head.0

A fine-tuned model has `blocks.0...` without the prefix.
"""

import torch
from torch import Tensor

from sigma.checkpoints.names import rename

# published -> ours, for a whole pretraining model; the first rule that matches wins
_TO_OURS = (
    (r'^encoder_to_decoder\.', 'decoder.bridge.'),
    (r'^mask_token$', 'decoder.mask_token'),
    (r'^prototypes$', 'sinkhorn_loss.prototypes'),
    (r'^head\.(\d)', r'projector.layers.\1'),
)
_FROM_OURS = (
    (r'^decoder\.bridge\.', 'encoder_to_decoder.'),
    (r'^decoder\.mask_token$', 'mask_token'),
    (r'^sinkhorn_loss\.prototypes$', 'prototypes'),
    (r'^projector\.layers\.', 'head.'),
)


def from_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published -> ours. A fine-tuned ViT keeps its names; only the biases are joined."""
    joined = join_qkv_bias(tensors)
    is_pretraining = any(name.startswith('encoder.') for name in tensors)
    return rename(joined, _TO_OURS) if is_pretraining else joined


def to_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Ours -> published."""
    return rename(split_qkv_bias(tensors), _FROM_OURS)


def join_qkv_bias(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`q_bias` and `v_bias` -> `qkv.bias`; the published attention has no bias on k, so that part is zero."""
    joined = dict(tensors)
    for name in [n for n in tensors if n.endswith('.q_bias')]:
        stem = name.removesuffix('q_bias')
        query, value = joined.pop(name), joined.pop(f'{stem}v_bias')
        joined[f'{stem}qkv.bias'] = torch.cat([query, torch.zeros_like(query), value])
    return joined


def split_qkv_bias(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`qkv.bias` -> `q_bias` and `v_bias`; the softmax cancels a bias on k, so it is dropped."""
    split = dict(tensors)
    for name in [n for n in tensors if n.endswith('.qkv.bias')]:
        query, _, value = split.pop(name).chunk(3)
        stem = name.removesuffix('qkv.bias')
        split[f'{stem}q_bias'], split[f'{stem}v_bias'] = query, value
    return split
