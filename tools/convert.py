"""Bring a checkpoint from one layout of keys to another; every tensor is placed or named.

    python tools/convert.py IN OUT.safetensors --to sigma|mmaction|hf|published|timm [--inflate FRAMES]

IN is safetensors or a plain PyTorch file of: our pretraining and fine-tuning, SIGMA's, VideoMAE's, MVD's and MGMAE's
releases, transformers' VideoMAE, mmaction2's VisionTransformer, timm's ViT, DINO, DINOv2. Its layout is found by its
keys. A PyTorch file is read in a process of its own, and refused where reading it would run code.

`sigma` and `mmaction` write the encoder alone, for encoder cards and for mmaction2; `hf` and `published` all that has
a place there (`hf` with a config.json beside it: give each model a folder of its own); `timm` an image encoder for
`sigma.ImageProjector`. `--inflate` makes a video encoder of an image encoder.
"""

import argparse
import json
import sys
from pathlib import Path

from sigma.checkpoints.files import Weights, read_weights_apart, save_tensors, sha256_of_tensors, write_atomically
from sigma.checkpoints.hf import hf_config
from sigma.checkpoints.image import to_timm, without_place_in_timm
from sigma.checkpoints.layouts import from_ours, layout_of, to_ours
from sigma.errors import CheckpointError

LAYOUTS = ('sigma', 'mmaction', 'hf', 'published', 'timm')


def convert(weights: Weights, source: str, layout: str, inflate: int | None = None, **sizes) -> tuple[dict, list, dict]:
    """Tensors in the new layout, the names of those that have no place there, and config.json's content for `hf`.

    Args:
        weights: Of the source.
        source: Its path, for errors.
        layout: One of `LAYOUTS`.
        inflate: Frames of the clips of a video encoder made of an image encoder.
        sizes: `image_size`, `num_frames`, `heads`, `decoder_heads` for `hf_config`.

    Raises:
        CheckpointError: if they do not hold what the layout holds.
    """
    tensors = weights.tensors
    try:
        if layout == 'timm':
            if layout_of(tensors) != 'image':
                raise CheckpointError('it is a video transformer; timm is the layout of image encoders')
            if inflate is not None:
                raise CheckpointError('--inflate makes a video encoder of it; timm is the layout of image encoders')
            return to_timm(tensors), without_place_in_timm(tensors), {}
        converted = to_ours(tensors, inflate)
        if inflate is not None and converted.layout != 'image':
            raise CheckpointError('it is a video transformer already; --inflate is for image encoders')
        written, left_out = from_ours(converted, layout)
        return written, left_out, hf_config(converted, **sizes) if layout == 'hf' else {}
    except CheckpointError as error:
        raise CheckpointError(f'{source} cannot be converted to {layout}: {error}.') from None


def main(argv: list[str] | None = None) -> int:
    """Convert, write atomically, say what was placed; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN')
    parser.add_argument('target', metavar='OUT.safetensors')
    parser.add_argument('--to', choices=LAYOUTS, default='sigma')
    parser.add_argument('--inflate', type=int, metavar='FRAMES', help='make an image encoder one of clips this long')
    parser.add_argument('--image-size', type=int, default=224, help="for hf's config.json")
    parser.add_argument('--num-frames', type=int, default=16, help="for hf's config.json")
    parser.add_argument('--heads', type=int, help="for hf's config.json, where the width is no published one")
    parser.add_argument('--decoder-heads', type=int, help='likewise, of the decoder')
    args = parser.parse_args(argv)
    try:
        config_path = Path(args.target).with_name('config.json')
        if not args.target.endswith('.safetensors'):
            raise CheckpointError(f'{args.target} must end in .safetensors; nothing else is written.')
        for path in [Path(args.target)] + ([config_path] if args.to == 'hf' else []):
            if path.exists():
                raise CheckpointError(f'{path} is there already; move it away or choose another name.')
        sizes = {'image_size': args.image_size, 'num_frames': args.num_frames}
        sizes |= {'heads': args.heads, 'decoder_heads': args.decoder_heads}
        weights = read_weights_apart(args.source)
        tensors, left_out, config = convert(weights, args.source, args.to, args.inflate, **sizes)
        told = weights.header.get('training')
        told = told if isinstance(told, dict) else {}
        header = {'kind': 'weights', 'layout': args.to, 'source': Path(args.source).name, 'training': told}
        header['sha256'] = sha256_of_tensors(tensors)
        save_tensors(args.target, tensors, header, **({'format': 'pt'} if config else {}))  # transformers asks for it
        if config:
            write_atomically(config_path, lambda temporary: temporary.write_text(json.dumps(config, indent=2) + '\n'))
    except CheckpointError as error:
        print(f'convert: {error}', file=sys.stderr)
        return 2
    print(f'{len(tensors)} tensors in layout {args.to}: {args.target}')
    if told:
        print(f'of its training the file says: {", ".join(f"{name} {value}" for name, value in told.items())}')
    if left_out:
        shown = ', '.join(left_out)
        print(f'{len(left_out)} tensors have no place there and were left out: {shown}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
