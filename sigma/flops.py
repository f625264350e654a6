"""Floating-point operations of a pretraining step, by formula: what a run costs before it is run.

    python -m sigma.flops CONFIG [CONFIG ...]

One multiplication and one addition are two operations. Counted are the products of matrices, attention included, of
the forward and the backward pass. Sinkhorn's rounds, norms and the optimizer are bound by memory and left out. Without
these, and with plain attention (the backward pass of the fused one computes its scores anew),
`torch.utils.flop_counter` agrees within 1 % (tests/sigma/test_flops.py).

N tokens, V of them visible, M to be predicted, R masks a clip, D width, E width of the targets, K prototypes.
"""

import argparse
import logging
import math
import sys

from torch import nn

H100_TFLOPS = 990  # dense bf16 by the data sheet
EXPECTED_SHARE = 0.25  # of it; the best published for small ViTs lies near (peers: 23 % ViT-S, 29 % ViT-g)


def blocks_flops(blocks: nn.ModuleList, num_tokens: int) -> int:
    """Forward of transformer blocks on one sequence: each 24 N D^2 + 4 N^2 D with an MLP of four times the width."""
    total = 0
    for block in blocks:
        width, hidden = block.attn.qkv.in_features, block.mlp.fc1.out_features
        total += 2 * num_tokens * (4 * width**2 + 2 * width * hidden) + 4 * num_tokens**2 * width
    return total


def pretraining_flops(model: nn.Module, num_visible: int, num_predicted: int, num_masks: int = 1) -> dict[str, float]:
    """Operations of one training step for one clip, by part.

    Args:
        model: `SIGMA` or `VideoMAE`, on any device (the meta device will do).
        num_visible: V.
        num_predicted: M: all masked tokens, or half of them with a running cell.
        num_masks: R.

    Returns:
        Part -> operations, forward and backward. The backward pass costs twice the forward one, but once where
        only one factor of a product has a gradient: the embedding, the MLP's first layer, the prototypes.

    Raises:
        ValueError: if the image encoder is no plain ViT.
    """
    encoder, decoder = model.encoder, model.decoder
    width, inner = encoder.embed_dims, decoder.bridge.out_features
    values = 3 * math.prod(encoder.tubelet)
    tokens = num_visible + num_predicted
    parts = {
        'embedding': 2 * 2 * values * width * num_visible * num_masks,
        'encoder': 3 * blocks_flops(encoder.blocks, num_visible) * num_masks,
        'decoder': 3 * (2 * width * inner * num_visible + blocks_flops(decoder.blocks, tokens)) * num_masks,
        'head': 3 * 2 * inner * decoder.head.out_features * num_predicted * num_masks,
    }
    # Several masks share one pass over all tokens.
    parts['projector'] = _projector_flops(model.projector, num_predicted if num_masks == 1 else encoder.num_tokens)
    loss = getattr(model, 'sinkhorn_loss', None)
    if hasattr(loss, 'prototypes'):
        learnt = any(p.requires_grad for p in model.projector.parameters())
        # Scores of the video branch: forward, gradient of the features. Of the targets: forward, gradient of the
        # prototypes, and of the features where these are learnt.
        parts['prototypes'] = (5 if learnt else 4) * 2 * loss.prototypes.numel() * num_predicted * num_masks
    return parts


def _projector_flops(projector: nn.Module, num_tokens: int) -> int:
    if hasattr(projector, 'layers'):  # MLPProjector: its input has no gradient
        sizes = [2 * m.in_features * m.out_features for m in projector.layers if isinstance(m, nn.Linear)]
        return num_tokens * (3 * sum(sizes) - sizes[0])
    if not hasattr(projector, 'encoder'):  # PixelTargets
        return 0
    teacher = projector.encoder
    if not (hasattr(teacher, 'blocks') and hasattr(teacher, 'patch_embed') and hasattr(teacher.blocks[0], 'attn')):
        raise ValueError(
            f'The formula knows image encoders that are plain ViTs, and this one is {type(teacher).__name__}; '
            'torch.utils.flop_counter measures it.'
        )
    patches = teacher.patch_embed.num_patches
    embedding = 2 * teacher.patch_embed.proj.weight.numel() * patches
    return projector.grid[0] * (embedding + blocks_flops(teacher.blocks, patches + teacher.num_prefix_tokens))


def config_flops(config) -> dict[str, float]:
    """`pretraining_flops` of a pretraining config, its model built on the meta device and without weights.

    Raises:
        ValueError: if its pipeline draws no mask.
    """
    import torch

    from sigma.data.masking import num_visible_cells
    from sigma.registry import MODELS

    settings = config.model.to_dict()
    if settings.get('projector', {}).get('type') == 'sigma.ImageProjector':
        settings['projector'] |= {'checkpoint': None, 'random_weights': True}
    with torch.device('meta'):
        model = MODELS.build(settings)
    steps = {step['type']: step for step in config.train_dataloader.dataset.pipeline}
    mask = steps.get('sigma.TubeMask') or steps.get('sigma.MotionMask')
    if mask is None:
        raise ValueError('The config draws no mask (sigma.TubeMask, sigma.MotionMask), so there is nothing to count.')
    visible = model.encoder.grid[0] * num_visible_cells(*mask['grid'][-2:], mask.get('mask_ratio', 0.9))
    masked = model.encoder.num_tokens - visible
    predicted = masked // 2 if 'sigma.RunningCell' in steps else masked
    return pretraining_flops(model, visible, predicted, mask.get('num_masks', 1))


def device_hours(flops: float, tflops: float = H100_TFLOPS, share: float = EXPECTED_SHARE) -> float:
    """Hours of one device for this many operations, at a share of its peak."""
    return flops / (tflops * 1e12 * share) / 3600


def main(argv: list[str] | None = None) -> int:
    """Print the parts of each config, and the hours for every 100,000 videos of its epochs."""
    from sigma.data.cards import read_config, silent_up_to
    from sigma.registry import MODELS  # noqa: F401 - mends what is broken below us, before timm is imported

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    for path in parser.parse_args(argv).configs:
        try:
            with silent_up_to(logging.WARNING):
                config = read_config(path)
                parts = config_flops(config)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            print(f'flops: {path} cannot be counted: {error}', file=sys.stderr)
            return 2
        total, epochs = sum(parts.values()), config.train_cfg.max_epochs
        hours = device_hours(total * epochs * 100_000)
        print(f'{path}: {total / 1e9:.1f} GFLOP a clip and step')
        print('  ' + ', '.join(f'{name} {value / 1e9:.1f}' for name, value in parts.items()))
        print(
            f'  {epochs} epochs of 100,000 videos: {hours:.1f} H100-hours at {EXPECTED_SHARE:.0%} of '
            f'{H100_TFLOPS} TFLOP/s'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
