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
from pathlib import Path

from sigma.checkpoints.described import CARD_KEY, POSITIONS, card_for
from sigma.commands import Parser, add_version, end_with
from sigma.errors import CheckpointError, SigmaError

LAYOUTS = ('sigma', 'pretraining', 'mmaction', 'hf', 'published', 'timm')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__)
    add_version(parser)
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
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Convert, write atomically, report what was left out; return the exit status."""
    args = parse_args(argv)
    from sigma.checkpoints.files import read_weights_apart, save_tensors, sha256_of_tensors, write_atomically
    from tools import conversion  # these import torch

    config_path = Path(args.target).with_name('config.json')
    try:
        if not args.target.endswith('.safetensors'):
            raise CheckpointError(f'{args.target} must end in .safetensors, the only format written.')
        for path in [Path(args.target)] + ([config_path] if args.to == 'hf' else []):
            if path.exists():
                raise CheckpointError(f'{path} already exists; move it away or choose another name.')
        card = conversion.described_by(args)
        sizes = conversion.sizes_of(args, card)
        weights = read_weights_apart(args.source)
        output = conversion.convert(weights, args.source, args.to, args.inflate, args.positions, **sizes)
        tensors, left_out, config = output.tensors, output.left_out, output.config
        notes = weights.header.get('training')
        notes = notes if isinstance(notes, dict) else {}
        header = {'kind': 'weights', 'layout': args.to, 'source': Path(args.source).name, 'training': notes}
        if output.fine_tuned:
            header['fine_tuned'] = True
        header['sha256'] = sha256_of_tensors(tensors)
        if card is not None and args.to != 'timm':
            shapes = {name: tensor.shape for name, tensor in tensors.items()}
            header[CARD_KEY] = card_for(card, shapes)
        metadata = {'format': 'pt'} if config else {}  # transformers requires it
        save_tensors(args.target, tensors, header, **metadata)
        if config:
            text = json.dumps(config, indent=2) + '\n'
            write_atomically(config_path, lambda temporary: temporary.write_text(text))
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
    end_with(main)
