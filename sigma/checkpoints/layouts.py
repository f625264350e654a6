"""Which layout a file has, and the way to our names and back. Every tensor is placed, listed, or refused.

    published   SIGMA, VideoMAE, MGMAE: encoder.blocks.0.attn.{q_bias, v_bias, qkv.weight}; fine-tuned: blocks.0...
    mvd         the same names without `encoder.`, two decoders, and its own positions (`pos_embed`); V-JEPA too
    hf          transformers' VideoMAEModel (embeddings., encoder.layer.) and VideoMAEForPreTraining (videomae.)
    mmaction    mmaction2's VisionTransformer
    image       timm ViT, DINO, DINOv2, transformers' ViT and Dinov2: the patch embedding has four axes
    sigma       ours

N tokens, D width. MVD does not use the flat sinusoid of VideoMAE and SIGMA: its positions travel as `positions`. Its
fine-tuned files do not hold them and look exactly like VideoMAE's; the settings of the training tell them apart, or
the user does (`told_by`). A file about which nothing is known is refused, since a guess would give other features.
A bias on k changes nothing in a softmax; layouts that have no place for it drop it.
"""

import re
from collections.abc import Iterable

from torch import Tensor

from sigma.checkpoints.described import POSITIONS
from sigma.checkpoints.hf import from_hf, is_hf_image, to_hf
from sigma.checkpoints.image import inflate, to_timm, without_place_in_timm
from sigma.checkpoints.mmaction import from_mmaction, to_mmaction
from sigma.checkpoints.names import (
    REST,
    Converted,
    Told,
    check_whole,
    fold_layer_scale,
    is_encoder_name,
    is_sinusoid,
    refuse_stray,
    rename,
)
from sigma.checkpoints.published import from_published, to_published
from sigma.errors import CheckpointError
from sigma.positions import axial_positions

_WRAPPERS = r'^(?:module\.|_orig_mod\.|model\.)+'  # prefixes of DataParallel, torch.compile and Lightning
_MVD_SETTINGS = ('use_cls_token', 'remove_pos_emb')  # which only MVD's scripts have
# Heads of classifiers under each layout (fc_norm, then fc), and what else an encoder does not need: only training or
# preprocessing uses it. Anything else is part of a network, so a file with it is refused.
_HEADS = {
    'published': ('fc_norm', 'head'),
    'mvd': ('fc_norm', 'head'),
    'hf': ('fc_norm', 'classifier'),
    'mmaction': ('fc_norm', 'cls_head.fc_cls'),
    'sigma': ('cls_head.fc_norm', 'cls_head.fc'),
}
_NOT_NEEDED = {
    'mvd': ('mask_token_', 'down_', 'decoder_', 'pos_embed_'),
    'mmaction': ('cls_head.', 'data_preprocessor.'),
    'image': ('cls_token', 'reg_token', 'mask_token', 'head.', 'dino_head.', 'ibot_head.', 'fc_norm.', 'pooler.'),
    'sigma': ('cls_head.', 'data_preprocessor.'),
}


def told_by(header: dict, positions: str | None = None, num_frames: int | None = None, size: int | None = None) -> Told:
    """What is known about a file beside its tensors.

    Args:
        header: Of the file, as `read_weights` gives it.
        positions: What the user or a card says: one of `POSITIONS`, or None.
        num_frames, size: Frames and pixels of a clip, if the settings in the file do not give them; default 16 and 224.

    Raises:
        CheckpointError: if the file says otherwise than the user.
    """
    if positions is not None and positions not in POSITIONS:
        raise CheckpointError(f'unknown positions {positions!r}; known: {", ".join(POSITIONS)}')
    settings = header.get('arguments') or {}
    said = None
    if settings:
        said = 'mvd' if any(name in settings for name in _MVD_SETTINGS) else 'videomae'
    elif header.get('layout') == 'published':  # we wrote it, and never with other positions
        said = 'videomae'
    if said and positions and said != positions:
        raise CheckpointError(
            f"positions {positions} were asked for, but the settings in the file are {said}'s; encoder cards say which "
            'they have: vit_b and mvd_vit_b'
        )
    frames, pixels = (settings.get(name) for name in ('num_frames', 'input_size'))
    return Told(
        positions or said,
        frames if type(frames) is int else num_frames or 16,
        pixels if type(pixels) is int else size or 224,
        header.get('fine_tuned') is True,
    )


def layout_of(tensors: dict[str, Tensor]) -> str:
    """Name of the layout (see the top of this file), recognised by its patch embedding.

    Raises:
        CheckpointError: if there is no patch embedding; names the first keys.
    """
    if is_hf_image(tensors):
        return 'image'
    for name, tensor in tensors.items():
        if name.endswith('patch_embeddings.projection.weight'):
            return 'hf'
        if name.endswith('patch_embed.projection.weight'):
            return 'mmaction'
        if name.endswith('patch_embed.proj.weight'):
            if tensor.dim() == 4:
                return 'image'
            if any(re.sub(f'{_WRAPPERS}|backbone\\.', '', key) == 'pos_embed' for key in tensors):
                return 'mvd'
            return 'published' if any(key.endswith('.q_bias') for key in tensors) else 'sigma'
    raise CheckpointError(
        f'it holds no video transformer of a known layout: no patch embedding among its {len(tensors)} keys, first '
        f'{", ".join(list(tensors)[:3])}'
    )


def to_ours(
    tensors: dict[str, Tensor],
    num_frames: int | None = None,
    tubelet_size: int = 2,
    told: Told | None = None,
    not_needed: Iterable[str] = (),
) -> Converted:
    """Convert any known layout to ours.

    Args:
        tensors: As they are named in the file.
        num_frames: Only for image encoders: frames per clip of the inflated encoder.
        tubelet_size: Likewise, frames per tubelet.
        told: What else is known about the file, from `told_by`.
        not_needed: Prefixes of further tensors that may be left out.

    Raises:
        CheckpointError: if the layout is unknown, tensors of a block are missing or misshapen, a tensor of the encoder
            has no place, its positions are unknown, or an image encoder comes without `num_frames`.
    """
    layout = layout_of(tensors)
    try:
        return _to_ours(tensors, layout, num_frames, tubelet_size, told or Told(), tuple(not_needed))
    except (KeyError, IndexError, RuntimeError) as error:  # a table met a tensor that is missing or misshapen
        reason = ' '.join(str(error.args[0] if error.args else error).split())[:160]
        raise CheckpointError(
            f'its patch embedding has the layout {layout}, but other tensors do not fit it: {reason}'
        ) from None


def _to_ours(
    tensors: dict[str, Tensor],
    layout: str,
    num_frames: int | None,
    tubelet_size: int,
    told: Told,
    not_needed: tuple[str, ...],
) -> Converted:
    tensors = {re.sub(_WRAPPERS, '', name): tensor for name, tensor in tensors.items()}
    left_out: list[str] = []
    if layout == 'hf':
        tensors = from_hf(tensors)
    elif layout == 'image':
        left_out = without_place_in_timm(tensors)
        tensors = to_timm(tensors)
        known = (*_NOT_NEEDED['image'], 'pos_embed', *not_needed)
        refuse_stray([n for n in tensors if not is_image_name(n) and not n.startswith(known)], 'an image encoder')
        tensors = inflate(tensors, num_frames, tubelet_size)
    else:
        tensors = {name.removeprefix('backbone.'): tensor for name, tensor in tensors.items()}
    if layout == 'mmaction':
        tensors = from_mmaction(tensors)
    names = from_published(fold_layer_scale(tensors))
    prefix = 'encoder.' if any(name.startswith('encoder.') for name in names) else ''
    if f'{prefix}pos_embed' in names:  # (1, N, D) -> (N, D)
        names[f'{prefix}positions'] = names.pop(f'{prefix}pos_embed')[0]
    encoder, rest, head, stray = {}, {}, {}, []
    heads = () if prefix and layout != 'hf' else _heads_in(names, layout)  # theirs has a prefix with a head too
    for name, tensor in names.items():
        ours = name.removeprefix(prefix)
        if name.startswith(prefix) and is_encoder_name(ours):
            encoder[ours] = tensor
        elif prefix and name.startswith(REST):
            rest[name] = tensor
        elif name.removesuffix('.weight').removesuffix('.bias') in heads:
            head[name] = tensor
        else:
            left_out.append(name)
            needed = name.startswith((prefix, 'blocks.', 'pos_embed', 'videomae.')) if prefix else True
            if needed and not name.startswith((*_NOT_NEEDED.get(layout, ()), *not_needed)):
                stray.append(name)
    refuse_stray(stray, 'a video transformer')
    check_whole(encoder, 'video transformer', ('patch_embed.proj.weight', 'patch_embed.proj.bias'))
    _settle_positions(encoder, layout, prefix, told)
    fine_tuned = bool(head) or told.fine_tuned
    return Converted(encoder, rest, _whole_head(head, heads), list(head), left_out, layout, fine_tuned)


def is_image_name(name: str) -> bool:
    """Whether timm's plain VisionTransformer with or without LayerScale has a tensor of this name."""
    return is_encoder_name(re.sub(r'ls[12]\.gamma$', 'norm1.weight', name))


def _heads_in(names: Iterable[str], layout: str) -> tuple[str, ...]:
    """Modules of the head. Published names also occur with the joined biases of our layout."""
    if layout == 'sigma' and {'fc_norm.weight', 'head.weight', 'head.bias'} <= set(names):
        return _HEADS['published']
    return _HEADS.get(layout, ())


def _whole_head(found: dict[str, Tensor], heads: tuple[str, ...]) -> dict[str, Tensor]:
    """The head under our names; empty unless it is the norm and linear layer that follow the mean token."""
    pairs = [(ours, theirs, kind) for ours, theirs in zip(('fc_norm', 'fc'), heads) for kind in ('weight', 'bias')]
    whole = {f'{ours}.{kind}': found[f'{theirs}.{kind}'] for ours, theirs, kind in pairs if f'{theirs}.{kind}' in found}
    return whole if len(whole) == 4 and whole['fc.weight'].dim() == 2 else {}


def _settle_positions(encoder: dict[str, Tensor], layout: str, prefix: str, told: Told) -> None:
    """Add MVD's positions to its fine-tuned encoders; drop those that our encoder builds itself.

    Raises:
        CheckpointError: if the source does not say which positions it was trained with, and several are possible.
    """
    width, _, tubelet, patch, _ = encoder['patch_embed.proj.weight'].shape
    if 'positions' in encoder:
        if is_sinusoid(encoder['positions']):
            del encoder['positions']
    elif told.positions == 'mvd' and not prefix:
        side = told.image_size // patch
        encoder['positions'] = axial_positions((told.num_frames // tubelet, side, side), width)
    elif layout == 'published' and not prefix and told.positions is None and 'norm.weight' not in encoder:
        raise CheckpointError(
            "it does not say which positions it was trained with: VideoMAE's (SIGMA, MGMAE and VideoMAE V2 too) or "
            "MVD's, whose fine-tuned files look the same; tell by tools/convert.py --positions videomae or --positions "
            'mvd, or in an encoder card by positions'
        )
    elif layout == 'sigma' and not prefix and has_key_bias(encoder):
        raise CheckpointError(
            'its attention has a bias on k and it holds no positions, so it is no encoder of ours; V-JEPA 2 looks like '
            'this, and its rotary positions are not built here'
        )


def has_key_bias(encoder: dict[str, Tensor]) -> bool:
    """Whether the attention of an encoder has a bias on k other than 0. Our training keeps it at 0."""
    return bool(encoder['blocks.0.attn.qkv.bias'].chunk(3)[1].any())


def from_ours(converted: Converted, layout: str) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under the names of a layout, and the names of those that have no place there.

    Args:
        converted: From `to_ours`.
        layout: `sigma` (the encoder alone), `pretraining` (everything but a head, under our names), `mmaction` (the
            encoder alone, or a whole recognizer if there is a head), `published` or `hf` (everything the source had).

    Raises:
        CheckpointError: if the layout cannot hold the encoder's own positions, or the decoder is incomplete.
    """
    left_out = [*converted.left_out, *converted.head_names]
    if layout == 'sigma':
        return converted.encoder, [*left_out, *converted.rest]
    if layout == 'pretraining':
        return converted.whole, left_out
    if converted.head:
        left_out = converted.left_out
    if layout == 'mmaction':
        return _recognizer(converted), [*left_out, *converted.rest]
    if converted.has_decoder:
        check_whole(
            {name.removeprefix('decoder.'): tensor for name, tensor in converted.rest.items()},
            'decoder',
            ('bridge.weight', 'mask_token', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias'),
        )
    if layout == 'hf':
        tensors, more = to_hf(converted)
        return tensors, [*left_out, *more]
    if 'positions' in converted.encoder:
        raise CheckpointError(
            'the encoder has positions of its own, which the published layout cannot hold; use sigma or mmaction'
        )
    published = to_published(converted.whole if converted.rest else converted.encoder)
    return published | rename(converted.head, ((r'^fc\.', 'head.'),)), left_out


def _recognizer(converted: Converted) -> dict[str, Tensor]:
    """mmaction2's backbone, or with a head its Recognizer3D, where the backbone has the norm of the mean token."""
    backbone = to_mmaction(converted.encoder)
    if not converted.head:
        return backbone
    head = rename(converted.head, ((r'^fc_norm\.', 'backbone.fc_norm.'), (r'^fc\.', 'cls_head.fc_cls.')))
    return {f'backbone.{name}': tensor for name, tensor in backbone.items()} | head
