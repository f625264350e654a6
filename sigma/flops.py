"""Floating-point operations of a pretraining step, by formula, to estimate the cost of a run.

    python -m sigma.flops CONFIG [CONFIG ...]

A multiplication and an addition count as two operations. All matrix products of the forward and backward pass count,
including attention. Sinkhorn's rounds, norms and the optimizer do not: they are memory-bound. On the counted parts,
`torch.utils.flop_counter` agrees within 1 % for plain attention (tests/sigma/test_flops.py); the backward pass of fused
attention also recomputes its scores.

N tokens, V of them visible, M predicted, R masks per clip, D width, E width of the targets, K prototypes.
"""

import logging
import math
import sys
from typing import Any

from torch import nn

from sigma.commands import Parser

H100_TFLOPS = 990  # dense bf16, from the data sheet
EXPECTED_SHARE = 0.25  # of the peak; published runs reach 23 % (ViT-S) to 29 % (ViT-g)


def blocks_flops(blocks: Any, num_tokens: int) -> int:
    """Forward pass of transformer blocks on one sequence; each takes 24 N D^2 + 4 N^2 D if its MLP is 4 D wide."""
    total = 0
    for block in blocks:
        width, hidden = block.attn.qkv.in_features, block.mlp.fc1.out_features
        total += 2 * num_tokens * (4 * width**2 + 2 * width * hidden) + 4 * num_tokens**2 * width
    return total


def pretraining_flops(model: Any, num_visible: int, num_predicted: int, num_masks: int = 1) -> dict[str, float]:
    """Operations of one training step for one clip, by part of the model.

    Args:
        model: `SIGMA` or `VideoMAE`, on any device; the meta device is enough.
        num_visible: V.
        num_predicted: M: all masked tokens, or half of them with a running cell.
        num_masks: R.

    Returns:
        Part -> operations of forward and backward pass. The backward pass costs twice as much as the forward pass, or
        the same if only one factor of a product has a gradient: the embedding, the MLP's first layer, the prototypes.

    Raises:
        ValueError: if the image encoder is not a plain ViT.
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
    if loss is not None and hasattr(loss, 'prototypes'):
        is_learned = any(p.requires_grad for p in model.projector.parameters())
        # Scores of the video branch: forward, and gradient of the features. Scores of the targets: forward, gradient of
        # the prototypes, and gradient of the features if those are learned.
        parts['prototypes'] = (5 if is_learned else 4) * 2 * loss.prototypes.numel() * num_predicted * num_masks
    return parts


def _projector_flops(projector: Any, num_tokens: int) -> int:
    if hasattr(projector, 'layers'):  # MLPProjector: its input has no gradient
        sizes = [2 * m.in_features * m.out_features for m in projector.layers if isinstance(m, nn.Linear)]
        return num_tokens * (3 * sum(sizes) - sizes[0])
    if not hasattr(projector, 'encoder'):  # PixelTargets
        return 0
    teacher = projector.encoder
    if not (hasattr(teacher, 'blocks') and hasattr(teacher, 'patch_embed') and hasattr(teacher.blocks[0], 'attn')):
        raise ValueError(
            f'The formula covers image encoders that are plain ViTs, but this one is {type(teacher).__name__}; '
            'measure it with torch.utils.flop_counter.'
        )
    patches = teacher.patch_embed.num_patches
    embedding = 2 * teacher.patch_embed.proj.weight.numel() * patches
    return projector.grid[0] * (embedding + blocks_flops(teacher.blocks, patches + teacher.num_prefix_tokens))


def config_flops(config) -> dict[str, float]:
    """`pretraining_flops` of a pretraining config; the model is built on the meta device, without weights.

    Raises:
        ValueError: if the pipeline draws no mask.
    """
    import torch

    from sigma.registry import MODELS

    settings = config.model.to_dict()
    if settings.get('projector', {}).get('type') == 'sigma.ImageProjector':
        settings['projector'] |= {'checkpoint': None, 'random_weights': True}
    with torch.device('meta'):
        model = MODELS.build(settings)
    return flops_of_training(config, model)


def flops_of_training(config: Any, model: Any) -> dict[str, float]:
    """`pretraining_flops` of a model with the masks that its config draws; raises as `config_flops`."""
    from sigma.data.masking import num_visible_cells

    steps = {step['type']: step for step in config.train_dataloader.dataset.pipeline}
    mask = steps.get('sigma.TubeMask') or steps.get('sigma.MotionMask')
    if mask is None:
        raise ValueError('The config draws no mask (neither sigma.TubeMask nor sigma.MotionMask).')
    rows, columns = mask['grid'][-2:]
    visible = model.encoder.grid[0] * num_visible_cells(rows, columns, mask.get('mask_ratio', 0.9))
    masked = model.encoder.num_tokens - visible
    predicted = masked // 2 if 'sigma.RunningCell' in steps else masked
    return pretraining_flops(model, visible, predicted, mask.get('num_masks', 1))


def device_hours(flops: float, tflops: float = H100_TFLOPS, share: float = EXPECTED_SHARE) -> float:
    """Hours on one device for this many operations, at a share of its peak."""
    return flops / (tflops * 1e12 * share) / 3600


def main(argv: list[str] | None = None) -> int:
    """Print the operations of each part, and the hours that all epochs take for 100,000 videos."""
    from sigma.data.cards import read_config, silent_up_to
    from sigma.registry import MODELS  # noqa: F401 - applies sigma.compat before timm is imported

    parser = Parser(description=__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    for path in parser.parse_args(argv).configs:
        try:
            with silent_up_to(logging.WARNING):
                config = read_config(path)
                parts = config_flops(config)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            print(f'flops: {path} cannot be counted: {error}', file=sys.stderr)
            return 2
        total, epochs = sum(parts.values()), config.train_cfg.get('max_epochs')
        print(f'{path}: {total / 1e9:.1f} GFLOP per clip and step')
        print('  ' + ', '.join(f'{name} {value / 1e9:.1f}' for name, value in parts.items()))
        if epochs is None:  # its length is in steps
            continue
        hours = device_hours(total * epochs * 100_000)
        print(
            f'  {epochs} epochs of 100,000 videos: {hours:.1f} H100-hours at {EXPECTED_SHARE:.0%} of '
            f'{H100_TFLOPS} TFLOP/s'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
