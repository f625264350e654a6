"""Convert a checkpoint to another layout of keys; every tensor is placed or listed.

    python tools/convert.py IN OUT.safetensors --to sigma|mmaction|hf|published|timm [--inflate FRAMES]

IN is a safetensors file or a plain PyTorch file: our pretraining or fine-tuning, the releases of SIGMA, VideoMAE, MVD
and MGMAE, transformers' VideoMAE, mmaction2's VisionTransformer, timm's ViT, DINO or DINOv2. Its layout is recognised
by its keys. A PyTorch file is read in a separate process, and refused if reading it would run code.

`sigma` and `mmaction` write only the encoder, for encoder cards and for mmaction2. `hf` and `published` write
everything that has a place in their layout; `hf` adds a config.json, so give each model its own folder. `timm` writes
an image encoder for `sigma.ImageProjector`. `--inflate` turns an image encoder into a video encoder.
"""

import json
import sys
from pathlib import Path

from sigma.checkpoints.files import Weights, read_weights_apart, save_tensors, sha256_of_tensors, write_atomically
from sigma.checkpoints.hf import hf_config
from sigma.checkpoints.image import to_timm, without_place_in_timm
from sigma.checkpoints.layouts import from_ours, layout_of, to_ours
from sigma.commands import Parser
from sigma.errors import CheckpointError

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
    parser.add_argument('--image-size', type=int, default=224, help='pixels, for config.json (default: 224)')
    parser.add_argument('--num-frames', type=int, default=16, help='for config.json (default: 16)')
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
        sizes = {'image_size': args.image_size, 'num_frames': args.num_frames}
        sizes |= {'heads': args.heads, 'decoder_heads': args.decoder_heads}
        weights = read_weights_apart(args.source)
        tensors, left_out, config = convert(weights, args.source, args.to, args.inflate, **sizes)
        notes = weights.header.get('training')
        notes = notes if isinstance(notes, dict) else {}
        header = {'kind': 'weights', 'layout': args.to, 'source': Path(args.source).name, 'training': notes}
        header['sha256'] = sha256_of_tensors(tensors)
        save_tensors(args.target, tensors, header, **({'format': 'pt'} if config else {}))  # transformers requires it
        if config:
            write_atomically(config_path, lambda temporary: temporary.write_text(json.dumps(config, indent=2) + '\n'))
    except CheckpointError as error:
        print(f'convert: {error}', file=sys.stderr)
        return 2
    print(f'{len(tensors)} tensors in layout {args.to}: {args.target}')
    if notes:
        print(f'the file says about its training: {", ".join(f"{name} {value}" for name, value in notes.items())}')
    if left_out:
        shown = ', '.join(left_out)
        print(f'{len(left_out)} tensors have no place there and were left out: {shown}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
