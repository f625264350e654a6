"""What a weights file says about itself: architecture, clips, normalisation, and how it was trained.

A training writes this card into the header of `encoder.safetensors` and of its `iter_N.safetensors`; tools/convert.py
keeps it, or adds it from an encoder card. With it, a file is an encoder: nothing else has to be said about it.

    version            1
    backbone           type='sigma.VideoViT', arch (embed_dims, depth, num_heads), image_size, num_frames, patch_size,
                       tubelet_size, final_norm
    clip               num_frames, stride_frames (None if training spread the frames over whole videos), size
    mean, std          per channel, for uint8 RGB values
    pretraining_data   what it was trained on, in words; or None
    source             method and config, paper or file, in words
    training           config, config_sha256, commit, clean, epochs, iters, flops (operations of all steps, by
                       sigma/flops.py); None or absent where unknown

The card comes from outside, so it is checked: it can only ask for our own `VideoViT`, with numbers, and its sizes must
be those of the tensors. Only the header of the file is read. Needs only the standard library.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from sigma.errors import CheckpointError

CARD_KEY = 'card'
CARD_VERSION = 1
BACKBONE = 'sigma.VideoViT'
ARCH_SIZES = ('embed_dims', 'depth', 'num_heads')
SIZES = ('image_size', 'num_frames', 'patch_size', 'tubelet_size')
POSITIONS = ('videomae', 'mvd')  # fixed position embeddings that a fine-tuned file may have been trained with
UNKNOWN_STRIDE = 2  # video frames between sampled frames, if training had no fixed stride

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # of uint8 values
IMAGENET_STD = (58.395, 57.12, 57.375)

_HEADER_KEY = 'sigma'  # of the metadata of a safetensors file; also in sigma.checkpoints.files, which needs torch
_MOST_HEADER_BYTES = 100_000_000  # the limit of safetensors itself
_PREFIX = r'^(?:state_dict/)?(?:module\.|model\.)*(?:videomae\.)?(?:encoder\.|backbone\.|embeddings\.)*'
_EMBEDDING = re.compile(_PREFIX + r'(?:patch_embed\.proj(?:ection)?|patch_embeddings\.projection)\.weight$')
_FINAL_NORM = re.compile(_PREFIX + r'(?:norm|layernorm)\.weight$')
_BLOCK = re.compile(_PREFIX + r'(?:blocks|layer)\.(\d+)\.')


def card_of_file(path: str | os.PathLike) -> dict | None:
    """The card in a weights file, checked against its tensors; None if the file has none.

    Raises:
        CheckpointError: naming the file, if it is damaged, its card is malformed or written by a newer version, or its
            card and its tensors contradict each other.
    """
    header = read_header(path)
    if header is None:
        return None
    card = _card_in(_ours(header, path), path)
    if card is None:
        return None
    try:
        check_card(card)
        shapes = {name: entry['shape'] for name, entry in header.items() if name != '__metadata__'}
        check_sizes(card, shapes)
    except CheckpointError as error:
        raise CheckpointError(f'{path} does not describe itself rightly: {error}') from None
    return card


def read_header(path: str | os.PathLike) -> dict | None:
    """The JSON header of a safetensors file: {tensor: {dtype, shape, ...}, __metadata__: {...}}.

    Returns None if the name does not end in .safetensors.

    Raises:
        CheckpointError: if the file is missing or is no safetensors file.
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        return None
    if not path.is_file():
        raise CheckpointError(f'Checkpoint {path} is not there; give the path of a .safetensors or .pth file.')
    try:
        with open(path, 'rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            if not 2 <= length <= min(_MOST_HEADER_BYTES, path.stat().st_size - 8):
                raise ValueError('it has no header')
            header = json.loads(file.read(length))
        named = {name: entry for name, entry in header.items() if name != '__metadata__'}
        if not all(isinstance(entry.get('shape'), list) for entry in named.values()):
            raise ValueError('its header lists no shapes')
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{path} is damaged or not a safetensors file ({error}); create or download it again.'
        ) from None
    return header


def _ours(header: dict, path: str | os.PathLike) -> dict:
    """Our own part of the metadata; empty in files of others."""
    metadata = header.get('__metadata__')
    text = metadata.get(_HEADER_KEY, '{}') if isinstance(metadata, dict) else '{}'
    try:
        ours = json.loads(text)
    except (TypeError, ValueError):
        ours = None
    if not isinstance(ours, dict):
        raise CheckpointError(f'{path} is damaged: its metadata are not JSON; create or download it again.')
    return ours


def _card_in(ours: dict, path: str | os.PathLike) -> dict | None:
    """The card of a weights file, or that in the `meta` of a training state."""
    card = ours.get(CARD_KEY)
    if card is None and ours.get('kind') == 'training_state':
        card = _plain(_at(_at(ours.get('tree'), 'meta'), CARD_KEY))
    if card is not None and not isinstance(card, dict):
        raise CheckpointError(f'{path} is damaged: its card is no dict but a {type(card).__name__}.')
    return card


def _at(tree: Any, key: str) -> Any:
    """An entry of a dict as `sigma.checkpoints.files.save_training_state` writes it; None if there is none."""
    pairs = tree.get('@dict') if isinstance(tree, dict) else None
    return next((pair[1] for pair in pairs or () if isinstance(pair, list) and len(pair) == 2 and pair[0] == key), None)


def _plain(tree: Any) -> Any:
    """A tree without tensors as plain dicts and lists."""
    if isinstance(tree, list):
        return [_plain(item) for item in tree]
    if isinstance(tree, dict):
        if '@tuple' in tree:
            return _plain(tree['@tuple'])
        return {pair[0]: _plain(pair[1]) for pair in tree.get('@dict', ())}
    return tree


def check_card(card: dict) -> None:
    """Check that a card has all it needs, of the right kinds.

    Raises:
        CheckpointError: naming the first field that does not fit.
    """
    version = card.get('version')
    if type(version) is int and version > CARD_VERSION:
        raise CheckpointError(
            f'its card has version {version}, and this code reads up to {CARD_VERSION}; update the code.'
        )
    if version != CARD_VERSION:
        raise CheckpointError(f'its card has the version {version!r} instead of {CARD_VERSION}.')
    backbone, clip = card.get('backbone'), card.get('clip')
    if not isinstance(backbone, dict) or backbone.get('type') != BACKBONE:
        kind = backbone.get('type') if isinstance(backbone, dict) else backbone
        raise CheckpointError(f'its backbone is {kind!r}; a file can only describe a {BACKBONE}.')
    arch = backbone.get('arch')
    arch = arch if isinstance(arch, dict) else {}
    clip = clip if isinstance(clip, dict) else {}
    wanted = {f'arch.{name}': arch.get(name) for name in ARCH_SIZES}
    wanted |= {name: backbone.get(name) for name in SIZES}
    wanted |= {f'clip.{name}': clip.get(name) for name in ('num_frames', 'size')}
    for name, value in wanted.items():
        if type(value) is not int or not 1 <= value <= 1_000_000:
            raise CheckpointError(f'{name} in its card is {value!r}; it must be a whole number, 1 or more.')
    if type(backbone.get('final_norm')) is not bool:
        raise CheckpointError(f'final_norm in its card is {backbone.get("final_norm")!r}; it must be true or false.')
    stray = sorted({*backbone} - {'type', 'arch', 'final_norm', *SIZES}) + sorted({*arch} - {*ARCH_SIZES})
    if stray:
        raise CheckpointError(f'its card has the unknown field {stray[0]} in its backbone.')
    stride = clip.get('stride_frames')
    if stride is not None and (type(stride) is not int or stride < 1):
        raise CheckpointError(f'clip.stride_frames in its card is {stride!r}; it must be a whole number, 1 or more.')
    for name in ('mean', 'std'):
        values: Any = card.get(name)
        numbers = isinstance(values, list) and len(values) == 3 and all(type(v) in (int, float) for v in values)
        if not numbers or (name == 'std' and min(values) <= 0):
            raise CheckpointError(f'{name} in its card is {values!r}; it must be three numbers, for R, G and B.')
    _check_multiples(backbone, arch, clip)


def _check_multiples(backbone: dict, arch: dict, clip: dict) -> None:
    pairs = [
        ('arch.embed_dims', arch['embed_dims'], 'arch.num_heads', arch['num_heads']),
        ('image_size', backbone['image_size'], 'patch_size', backbone['patch_size']),
        ('num_frames', backbone['num_frames'], 'tubelet_size', backbone['tubelet_size']),
        ('clip.num_frames', clip['num_frames'], 'tubelet_size', backbone['tubelet_size']),
    ]
    for name, whole, part_name, part in pairs:
        if whole % part:
            raise CheckpointError(f'{name} {whole} in its card is no multiple of {part_name} {part}.')
    if clip['size'] != backbone['image_size']:
        raise CheckpointError(f'clip.size {clip["size"]} and image_size {backbone["image_size"]} in its card differ.')


def check_sizes(card: dict, shapes: dict[str, list[int] | tuple[int, ...]]) -> None:
    """Check that a card describes the tensors of these shapes, under the names of any layout.

    Raises:
        CheckpointError: naming the first size that differs, with both values.
    """
    embeddings = [shape for name, shape in shapes.items() if _EMBEDDING.match(name) and len(shape) == 5]
    if not embeddings:
        raise CheckpointError('it has a card but no patch embedding of a video transformer.')
    width, _, tubelet, patch, _ = embeddings[0]
    backbone = card['backbone']
    found = {'embed_dims': width, 'depth': depth_of_shapes(shapes), 'patch_size': patch, 'tubelet_size': tubelet}
    said = backbone | backbone['arch']
    for name, value in found.items():
        if said[name] != value:
            raise CheckpointError(f'its card says {name} {said[name]}, but its tensors have {value}.')


def depth_of_shapes(shapes: dict) -> int:
    """Number of encoder blocks among these tensors, under the names of any layout."""
    return len({match[1] for name in shapes if (match := _BLOCK.match(name))})


def encoder_info(card: dict) -> dict:
    """The `encoder` dict of an encoder card (see `eval.cells.encoders.EncoderCard`) for a checked card.

    `checkpoint` and `sha256` are left to the caller.
    """
    backbone, clip = card['backbone'], card['clip']
    return {
        'backbone': {**backbone, 'arch': dict(backbone['arch'])},
        'embed_dims': backbone['arch']['embed_dims'],
        'clip': {**clip, 'stride_frames': clip.get('stride_frames') or UNKNOWN_STRIDE},
        'mean': tuple(card['mean']),
        'std': tuple(card['std']),
        'finetune': {'final_norm': False},  # the head has its own norm
        'finetune_drop': ('norm.',),
        'pretraining_data': card.get('pretraining_data'),
        'source': card.get('source'),
        'training': card.get('training'),
    }


def from_encoder_info(info: dict, arch: dict) -> dict:
    """The card of weights under the `encoder` dict of an encoder card.

    Args:
        info: Its backbone is a `VideoViT`.
        arch: `embed_dims`, `depth`, `num_heads` of the backbone, which the dict may only name.

    Raises:
        CheckpointError: if the backbone is of another class, or a field does not fit.
    """
    backbone = info['backbone']
    sizes = {'image_size': 224, 'num_frames': 16, 'patch_size': 16, 'tubelet_size': 2, 'final_norm': True}
    sizes |= {name: value for name, value in backbone.items() if name in sizes}
    card = {
        'version': CARD_VERSION,
        'backbone': {'type': backbone.get('type'), 'arch': {name: arch.get(name) for name in ARCH_SIZES}, **sizes},
        'clip': {name: info['clip'].get(name) for name in ('num_frames', 'stride_frames', 'size')},
        'mean': list(info.get('mean', IMAGENET_MEAN)),
        'std': list(info.get('std', IMAGENET_STD)),
        'pretraining_data': info.get('pretraining_data'),
        'source': info.get('source'),
        'training': info.get('training') or {},
    }
    check_card(card)
    return card


def card_for(card: dict, shapes: dict[str, list[int] | tuple[int, ...]]) -> dict:
    """The card for tensors of these shapes, which may have lost their final norm since it was written.

    Raises:
        CheckpointError: as `check_sizes`.
    """
    check_sizes(card, shapes)
    final_norm = any(_FINAL_NORM.match(name) for name in shapes)
    return card | {'backbone': card['backbone'] | {'final_norm': final_norm}}


def no_card(path: str | os.PathLike) -> str:
    """The sentence for a weights file that does not describe itself, with what would work."""
    return (
        f'{path} does not describe itself: it names no architecture, clip or normalisation. Use it with a card, as '
        f'vit_b@{path}, or write the description into a copy once: python tools/convert.py {path} OUT.safetensors '
        '--card vit_b.'
    )
