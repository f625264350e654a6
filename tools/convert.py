"""Bring a checkpoint from one layout of keys to another; every tensor is placed or named.

    python tools/convert.py IN OUT.safetensors --to sigma|mmaction|published

IN is a file in our layout or in that of SIGMA's and VideoMAE's releases (a pretraining model, or a fine-tuned ViT),
safetensors or a plain PyTorch state dict; a pickle that would run code is refused. `sigma` and `mmaction` write the
encoder alone, for encoder cards and for mmaction2's VisionTransformer; `published` writes the whole model as released.
"""

import argparse
import sys
from pathlib import Path

from sigma.checkpoints import (
    CheckpointError,
    encoder_tensors,
    from_published,
    read_weights,
    save_tensors,
    sha256_of_tensors,
    to_mmaction,
    to_published,
)

NO_PLACE_IN_ENCODER = ('fc_norm.', 'head.')


def convert(source: str, layout: str) -> tuple[dict, list[str]]:
    """Tensors in the new layout, and the names of those that have no place there.

    Raises:
        CheckpointError: if the file cannot be read, or holds no video transformer.
    """
    tensors = read_weights(source).tensors
    if layout == 'published':
        return to_published(from_published(tensors)), []
    whole = from_published(tensors)
    encoder = encoder_tensors(tensors)
    if 'patch_embed.proj.weight' not in encoder:
        raise CheckpointError(
            f'{source} holds no video transformer of a known layout: patch_embed.proj.weight is not in it, '
            f'first keys {", ".join(list(tensors)[:3])}.'
        )
    left_out = [name for name in encoder if name.startswith(NO_PLACE_IN_ENCODER)]
    encoder = {name: tensor for name, tensor in encoder.items() if name not in left_out}
    if len(whole) > len(encoder) + len(left_out):  # a pretraining model: decoder, projector, prototypes
        left_out += [name for name in whole if not name.startswith('encoder.')]
    return (to_mmaction(encoder) if layout == 'mmaction' else encoder), left_out


def main(argv: list[str] | None = None) -> int:
    """Convert, write atomically, say what was placed; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN')
    parser.add_argument('target', metavar='OUT.safetensors')
    parser.add_argument('--to', choices=['sigma', 'mmaction', 'published'], default='sigma')
    args = parser.parse_args(argv)
    try:
        if not args.target.endswith('.safetensors'):
            raise CheckpointError(f'{args.target} must end in .safetensors; nothing else is written.')
        if Path(args.target).exists():
            raise CheckpointError(f'{args.target} is there already; move it away or choose another name.')
        tensors, left_out = convert(args.source, args.to)
        header = {'kind': 'weights', 'layout': args.to, 'source': Path(args.source).name}
        save_tensors(args.target, tensors, header | {'sha256': sha256_of_tensors(tensors)})
    except CheckpointError as error:
        print(f'convert: {error}', file=sys.stderr)
        return 2
    print(f'{len(tensors)} tensors in layout {args.to}: {args.target}')
    if left_out:
        print(f'{len(left_out)} tensors have no place there and were left out: {", ".join(left_out[:8])} ...')
    return 0


if __name__ == '__main__':
    sys.exit(main())
