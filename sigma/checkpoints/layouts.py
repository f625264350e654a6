"""Which layout a file has, and the way to our names and back. Every tensor is placed or listed.

    published   SIGMA, VideoMAE, MGMAE: encoder.blocks.0.attn.{q_bias, v_bias, qkv.weight}; fine-tuned: blocks.0...
    mvd         the same names without `encoder.`, two decoders, and its own positions (`pos_embed`)
    hf          transformers' VideoMAEModel (embeddings., encoder.layer.) and VideoMAEForPreTraining (videomae.)
    mmaction    mmaction2's VisionTransformer
    image       timm ViT, DINO, DINOv2: `patch_embed.proj.weight` has four axes
    sigma       ours

N tokens, D width. MVD does not use the flat sinusoid of VideoMAE and SIGMA: its positions travel as `positions`.
A bias on k changes nothing in a softmax; layouts that have no place for it drop it.
"""

import re

from torch import Tensor

from sigma.checkpoints.hf import from_hf, to_hf
from sigma.checkpoints.image import inflate, to_timm, without_place_in_timm
from sigma.checkpoints.mmaction import from_mmaction, to_mmaction
from sigma.checkpoints.names import REST, Converted, check_whole, is_encoder_name, is_sinusoid
from sigma.checkpoints.published import from_published, to_published
from sigma.errors import CheckpointError

_WRAPPERS = r'^(?:module\.|_orig_mod\.|model\.)+'  # prefixes of DataParallel, torch.compile and Lightning


def layout_of(tensors: dict[str, Tensor]) -> str:
    """Name of the layout (see the top of this file), recognised by its patch embedding.

    Raises:
        CheckpointError: if there is no patch embedding; names the first keys.
    """
    for name, tensor in tensors.items():
        if name.endswith('patch_embeddings.projection.weight'):
            return 'hf'
        if name.endswith('patch_embed.projection.weight'):
            return 'mmaction'
        if name.endswith('patch_embed.proj.weight'):
            if tensor.dim() == 4:
                return 'image'
            if 'pos_embed' in tensors:
                return 'mvd'
            return 'published' if any(key.endswith('.q_bias') for key in tensors) else 'sigma'
    raise CheckpointError(
        f'it holds no video transformer of a known layout: no patch embedding among its {len(tensors)} keys, first '
        f'{", ".join(list(tensors)[:3])}'
    )


def to_ours(tensors: dict[str, Tensor], num_frames: int | None = None, tubelet_size: int = 2) -> Converted:
    """Convert any known layout to ours.

    Args:
        tensors: As they are named in the file.
        num_frames: Only for image encoders: frames per clip of the inflated encoder.
        tubelet_size: Likewise, frames per tubelet.

    Raises:
        CheckpointError: if the layout is unknown, tensors of a block are missing or misshapen, or an image encoder
            comes without `num_frames`.
    """
    layout = layout_of(tensors)
    try:
        return _to_ours(tensors, layout, num_frames, tubelet_size)
    except (KeyError, IndexError, RuntimeError) as error:  # a table met a tensor that is missing or misshapen
        reason = ' '.join(str(error.args[0] if error.args else error).split())[:160]
        raise CheckpointError(
            f'its patch embedding has the layout {layout}, but other tensors do not fit it: {reason}'
        ) from None


def _to_ours(tensors: dict[str, Tensor], layout: str, num_frames: int | None, tubelet_size: int) -> Converted:
    tensors = {re.sub(_WRAPPERS, '', name): tensor for name, tensor in tensors.items()}
    left_out: list[str] = []
    if layout == 'hf':
        tensors = from_hf(tensors)
    elif layout == 'image':
        left_out = without_place_in_timm(tensors)
        tensors = inflate(to_timm(tensors), num_frames, tubelet_size)
    else:
        tensors = {name.removeprefix('backbone.'): tensor for name, tensor in tensors.items()}
    if layout == 'mmaction':
        tensors = from_mmaction(tensors)
    if 'pos_embed' in tensors:  # (1, N, D) -> (N, D)
        tensors = tensors | {'positions': tensors['pos_embed'][0]}
        del tensors['pos_embed']
    names = from_published(tensors)
    prefix = 'encoder.' if any(name.startswith('encoder.') for name in names) else ''
    encoder, rest = {}, {}
    for name, tensor in names.items():
        if name.startswith(prefix) and is_encoder_name(name.removeprefix(prefix)):
            encoder[name.removeprefix(prefix)] = tensor
        elif prefix and name.startswith(REST):
            rest[name] = tensor
        else:
            left_out.append(name)
    check_whole(encoder, 'video transformer', ('patch_embed.proj.weight', 'patch_embed.proj.bias'))
    if 'positions' in encoder and is_sinusoid(encoder['positions']):
        del encoder['positions']
    return Converted(encoder, rest, left_out, layout)


def from_ours(converted: Converted, layout: str) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under the names of a layout, and the names of those that have no place there.

    Args:
        converted: From `to_ours`.
        layout: `sigma` or `mmaction` (the encoder alone), `published` or `hf` (everything the source had).

    Raises:
        CheckpointError: if the layout cannot hold the encoder's own positions, or the decoder is incomplete.
    """
    if layout == 'sigma':
        return converted.encoder, [*converted.left_out, *converted.rest]
    if layout == 'mmaction':
        return to_mmaction(converted.encoder), [*converted.left_out, *converted.rest]
    if converted.has_decoder:
        check_whole(
            {name.removeprefix('decoder.'): tensor for name, tensor in converted.rest.items()},
            'decoder',
            ('bridge.weight', 'mask_token', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias'),
        )
    if layout == 'hf':
        tensors, left_out = to_hf(converted)
        return tensors, [*converted.left_out, *left_out]
    if 'positions' in converted.encoder:
        raise CheckpointError(
            'the encoder has positions of its own, which the published layout cannot hold; use sigma or mmaction'
        )
    return to_published(converted.whole if converted.rest else converted.encoder), [*converted.left_out]
