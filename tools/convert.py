"""Convert a checkpoint to another layout of keys; every tensor is placed or listed.

    python tools/convert.py IN OUT.safetensors --to sigma|mmaction|hf|published|timm [--inflate FRAMES] [--card CARD]

IN is a safetensors file or a plain PyTorch file: our pretraining or fine-tuning, the releases of SIGMA, VideoMAE, MVD
and MGMAE, transformers' VideoMAE, mmaction2's VisionTransformer, timm's ViT, DINO or DINOv2. Its layout is recognised
by its keys. A PyTorch file is read in a separate process, and refused if reading it would run code.

`sigma` and `mmaction` write only the encoder, for encoder cards and for mmaction2. `hf` and `published` write
everything that has a place in their layout; `hf` adds a config.json, so give each model its own folder. `timm` writes
an image encoder for `sigma.ImageProjector`. `--inflate` turns an image encoder into a video encoder.

A file of our training says what encoder it holds, and so does OUT then. For other files, `--card` says it: OUT is then
an encoder without a card (`--encoders OUT.safetensors`).
"""

import argparse
import json
import sys
from pathlib import Path

from sigma.architectures import architecture
from sigma.checkpoints.described import BACKBONE, CARD_KEY, card_for, card_of_file, from_encoder_info
from sigma.checkpoints.files import Weights, read_weights_apart, save_tensors, sha256_of_tensors, write_atomically
from sigma.checkpoints.hf import hf_config
from sigma.checkpoints.image import to_timm, without_place_in_timm
from sigma.checkpoints.layouts import from_ours, layout_of, to_ours
from sigma.commands import Parser
from sigma.data.cards import find_card, read_card
from sigma.errors import CheckpointError, SigmaError

LAYOUTS = ('sigma', 'mmaction', 'hf', 'published', 'timm')


def convert(weights: Weights, source: str, layout: str, inflate: int | None = None, **sizes) -> tuple[dict, list, dict]:
    """Convert weights to a layout.

    Args:
        weights: The source.
        source: Its path, for errors.
        layout: One of `LAYOUTS`.
        inflate: Turn an image encoder into a video encoder for clips of this many frames.
        sizes: `image_size`, `num_frames`, `heads`, `decoder_heads` for `hf_config`.

    Returns:
        The tensors, the names of those that have no place in the layout, and for `hf` the content of config.json.

    Raises:
        CheckpointError: if the source does not hold what the layout needs.
    """
    tensors = weights.tensors
    try:
        if layout == 'timm':
            if layout_of(tensors) != 'image':
                raise CheckpointError('it is a video transformer, and timm is a layout of image encoders')
            if inflate is not None:
                raise CheckpointError('--inflate gives a video encoder, and timm is a layout of image encoders')
            return to_timm(tensors), without_place_in_timm(tensors), {}
        converted = to_ours(tensors, inflate)
        if inflate is not None and converted.layout != 'image':
            raise CheckpointError('it already is a video transformer; --inflate is for image encoders')
        written, left_out = from_ours(converted, layout)
        return written, left_out, hf_config(converted, **sizes) if layout == 'hf' else {}
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
        '--card',
        metavar='CARD',
        help='encoder card that describes IN, such as vit_b, if IN does not do so itself',
    )
    parser.add_argument(
        '--image-size', type=int, help='pixels, for config.json (default: what IN or its card says, else 224)'
    )
    parser.add_argument('--num-frames', type=int, help='for config.json (default: what IN or its card says, else 16)')
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
        tensors, left_out, config = convert(weights, args.source, args.to, args.inflate, **sizes)
        notes = weights.header.get('training')
        notes = notes if isinstance(notes, dict) else {}
        header = {'kind': 'weights', 'layout': args.to, 'source': Path(args.source).name, 'training': notes}
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
