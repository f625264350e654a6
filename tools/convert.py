"""Convert a checkpoint to another layout of keys; every tensor is placed or listed.

    python tools/convert.py IN OUT.safetensors --to sigma|pretraining|mmaction|hf|published|timm [--inflate FRAMES]
        [--card CARD] [--positions videomae|mvd]

IN is a safetensors file or a PyTorch file: our pretraining or fine-tuning, the releases of SIGMA, VideoMAE, MVD, MGMAE
and VideoMAE V2, V-JEPA, UMT, transformers' VideoMAE, mmaction2's VisionTransformer, the R(2+1)D-18 of the methods in
SEVERE, and image encoders: timm's and transformers' ViT, DINO, DINOv2. Its layout is recognised by its keys. Of a
PyTorch file, a separate process reads tensors and plain values; a file that could run code is refused. So is a file
with a part of the network that has no place here.

`sigma` writes the encoder alone, for encoder cards; `pretraining` the whole pretraining model, for `load_from`.
`mmaction` writes the backbone for mmaction2, and its whole recognizer if IN has a classifier. `hf` and `published`
write everything that has a place in their layout; `hf` adds a config.json, so give each model its own folder. `timm`
writes an image encoder for `sigma.ImageProjector`. `--inflate` turns an image encoder into a video encoder.

A file of our training says what encoder it holds, and so does OUT then. For other files, `--card` says it: OUT is then
an encoder without a card (`--encoders OUT.safetensors`).

A fine-tuned file without the settings of its training (as DeepSpeed writes it) does not say whether its positions are
VideoMAE's or MVD's, and only one gives its features: tell it by `--positions`.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sigma.architectures import architecture
from sigma.checkpoints.described import BACKBONE, CARD_KEY, card_for, card_of_file, from_encoder_info
from sigma.checkpoints.files import (
    Weights,
    misfits,
    read_weights_apart,
    save_tensors,
    sha256_of_tensors,
    write_atomically,
)
from sigma.checkpoints.hf import hf_config
from sigma.checkpoints.image import to_timm, without_place_in_timm
from sigma.checkpoints.layouts import POSITIONS, from_ours, layout_of, to_ours, told_by
from sigma.checkpoints.severe import from_severe, is_r2plus1d
from sigma.commands import Parser
from sigma.data.cards import find_card, read_card
from sigma.errors import CheckpointError, SigmaError

LAYOUTS = ('sigma', 'pretraining', 'mmaction', 'hf', 'published', 'timm')


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


def main(argv: list[str] | None = None) -> int:
    """Convert, write atomically, report what was left out; return the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument('source', metavar='IN', help='checkpoint to read, .safetensors or a PyTorch file')
    parser.add_argument('target', metavar='OUT.safetensors', help='file to write; must not exist')
    parser.add_argument('--to', choices=LAYOUTS, default='sigma', help='layout to write (default: sigma)')
    parser.add_argument(
        '--inflate',
        type=int,
        metavar='FRAMES',
        help='turn an image encoder into a video encoder for clips of this length',
    )
    parser.add_argument(
        '--positions', choices=POSITIONS, help="for a fine-tuned file that does not say whether it is MVD's"
    )
    parser.add_argument(
        '--card',
        metavar='CARD',
        help='encoder card that describes IN, such as vit_b, if IN does not do so itself',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        help="pixels, for config.json and MVD's positions (default: what IN or its card says, else 224)",
    )
    parser.add_argument(
        '--num-frames',
        type=int,
        help="frames, for config.json and MVD's positions (default: what IN or its card says, else 16)",
    )
    parser.add_argument(
        '--heads', type=int, help='attention heads, for config.json; needed if the width is not a published one'
    )
    parser.add_argument('--decoder-heads', type=int, help='the same, for the decoder')
    args = parser.parse_args(argv)
    try:
        config_path = Path(args.target).with_name('config.json')
        if not args.target.endswith('.safetensors'):
            raise CheckpointError(f'{args.target} must end in .safetensors, the only format written.')
        for path in [Path(args.target)] + ([config_path] if args.to == 'hf' else []):
            if path.exists():
                raise CheckpointError(f'{path} already exists; move it away or choose another name.')
        card = described_by(args)
        sizes = sizes_of(args, card)
        weights = read_weights_apart(args.source)
        output = convert(weights, args.source, args.to, args.inflate, args.positions, **sizes)
        tensors, left_out, config = output.tensors, output.left_out, output.config
        notes = weights.header.get('training')
        notes = notes if isinstance(notes, dict) else {}
        header = {'kind': 'weights', 'layout': args.to, 'source': Path(args.source).name, 'training': notes}
        if output.fine_tuned:
            header['fine_tuned'] = True
        header['sha256'] = sha256_of_tensors(tensors)
        if card is not None and args.to != 'timm':
            header[CARD_KEY] = card_for(card, {name: tensor.shape for name, tensor in tensors.items()})
        save_tensors(args.target, tensors, header, **({'format': 'pt'} if config else {}))  # transformers requires it
        if config:
            write_atomically(config_path, lambda temporary: temporary.write_text(json.dumps(config, indent=2) + '\n'))
    except SigmaError as error:
        print(f'convert: {error}', file=sys.stderr)
        return 2
    print(f'{len(tensors)} tensors in layout {args.to}: {args.target}')
    if config:
        assumed = '' if card or (args.image_size and args.num_frames) else ' (assumed: neither IN nor --card says it)'
        print(f'config.json: clips of {config["num_frames"]} frames of {config["image_size"]} pixels{assumed}')
    if notes:
        print(f'the file says about its training: {", ".join(f"{name} {value}" for name, value in notes.items())}')
    if left_out:
        shown = ', '.join(left_out)
        print(f'{len(left_out)} tensors have no place there and were left out: {shown}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
