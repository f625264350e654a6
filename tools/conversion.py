"""What tools/convert.py does, apart from its command line, which must answer at once: this imports torch."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sigma.architectures import architecture
from sigma.checkpoints.described import BACKBONE, card_of_file, from_encoder_info
from sigma.checkpoints.files import Weights, misfits
from sigma.checkpoints.hf import hf_config
from sigma.checkpoints.image import to_timm, without_place_in_timm
from sigma.checkpoints.layouts import from_ours, layout_of, to_ours, told_by
from sigma.checkpoints.severe import from_severe, is_r2plus1d
from sigma.data.cards import find_card, read_card
from sigma.errors import CheckpointError


@dataclass
class Output:
    """What is written, and what is said about it.

    Attributes:
        tensors: Under the names of the layout.
        left_out: Names of those in the source that have no place there.
        config: For `hf`, the content of config.json.
        fine_tuned: Whether a classifier was in the source.
    """

    tensors: dict
    left_out: list[str]
    config: dict = field(default_factory=dict)
    fine_tuned: bool = False


def convert(
    weights: Weights, source: str, layout: str, inflate: int | None = None, positions: str | None = None, **sizes
) -> Output:
    """Convert weights to a layout.

    Args:
        weights: The source.
        source: Its path, for errors.
        layout: One of `LAYOUTS`.
        inflate: Turn an image encoder into a video encoder for clips of this many frames.
        positions: `videomae` or `mvd`, for a fine-tuned file that does not say.
        sizes: `image_size`, `num_frames`, `heads`, `decoder_heads` for `hf_config`; the first two for MVD's positions.

    Raises:
        CheckpointError: if the source does not hold what the layout needs.
    """
    tensors = weights.tensors
    try:
        if is_r2plus1d(tensors):
            return _convolutional(tensors, layout)
        if layout == 'timm':
            return _image(tensors, inflate)
        told = told_by(weights.header, positions, sizes.get('num_frames'), sizes.get('image_size'))
        converted = to_ours(tensors, inflate, told=told)
        if inflate is not None and converted.layout != 'image':
            raise CheckpointError('it already is a video transformer; --inflate is for image encoders')
        if layout == 'pretraining' and not converted.rest:
            raise CheckpointError('it holds an encoder alone, not a pretraining model; use --to sigma')
        written, left_out = from_ours(converted, layout)
        config = hf_config(converted, **sizes) if layout == 'hf' else {}
        return Output(written, left_out, config, converted.is_fine_tuned)
    except CheckpointError as error:
        raise CheckpointError(f'{source} cannot be converted to {layout}: {error}.') from None


def described_by(args: argparse.Namespace) -> dict | None:
    """What the source says about itself, or what `--card` says about it; None if nothing does.

    Raises:
        CheckpointError: if both do, or the card is of another kind of encoder.
        DataError: if there is no such card.
    """
    said = card_of_file(args.source)
    if args.card is None:
        return said
    if said is not None:
        raise CheckpointError(f'{args.source} describes itself; leave out --card {args.card}.')
    info = read_card(find_card('encoders', args.card), 'encoder')
    backbone = info.get('backbone', {})
    if backbone.get('type') != BACKBONE:
        raise CheckpointError(f'--card {args.card} has the backbone {backbone.get("type")}; {BACKBONE} is needed.')
    defaults = {'pretraining_data': 'not stated: weights given to tools/convert.py', 'source': Path(args.source).name}
    return from_encoder_info(info | defaults, architecture(backbone.get('arch', 'base')))


def sizes_of(args: argparse.Namespace, card: dict | None) -> dict:
    """`image_size`, `num_frames`, `heads`, `decoder_heads` for `hf_config`: the user's, else those of the card.

    Raises:
        CheckpointError: if --heads contradicts the card.
    """
    said = card['backbone'] if card else {}
    heads = said.get('arch', {}).get('num_heads')
    if args.heads and heads and args.heads != heads:
        raise CheckpointError(f'{args.source} was trained with {heads} heads, not {args.heads}; leave out --heads.')
    return {
        'image_size': args.image_size or said.get('image_size', 224),
        'num_frames': args.num_frames or said.get('num_frames', 16),
        'heads': args.heads or heads,
        'decoder_heads': args.decoder_heads,
    }


def _image(tensors: dict, inflate: int | None) -> Output:
    if layout_of(tensors) != 'image':
        raise CheckpointError('it is a video transformer, and timm is a layout of image encoders')
    if inflate is not None:
        raise CheckpointError('--inflate gives a video encoder, and timm is a layout of image encoders')
    from sigma.models.image_encoder import check_timm  # here: models take seconds to import

    named = to_timm(tensors)
    check_timm(named)
    return Output(named, without_place_in_timm(tensors))


def _convolutional(tensors: dict, layout: str) -> Output:
    if layout != 'sigma':
        raise CheckpointError(
            "it is an R(2+1)D-18, and that is a layout of transformers; --to sigma writes torchvision's names"
        )
    from sigma.models.r2plus1d import R2Plus1D18  # here for the same reason

    with torch.device('meta'):
        backbone = R2Plus1D18()
    named, left_out = from_severe(tensors)
    left_out += [name for name in named if name.startswith('fc.')]
    named = {name: tensor for name, tensor in named.items() if not name.startswith('fc.')}
    problems = misfits(backbone, named)
    if problems:
        raise CheckpointError('; '.join(problems))
    return Output(named, left_out)
