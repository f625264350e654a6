"""The fixed positions of a video transformer's tokens. Needs only torch; models and checkpoints both use it."""

import torch
from torch import Tensor


def sinusoid_positions(num_positions: int, width: int) -> Tensor:
    """Sinusoidal position embedding over the flattened tokens.

    Returns:
        (num_positions, width) fp32: angle p / 10000^(2 floor(j/2) / width), sine on even j, cosine on odd j.

    Source: VideoMAE (arXiv:2203.12602); one flat axis, not factorised over time and space.
    """
    position = torch.arange(num_positions, dtype=torch.float64)[:, None]
    channel = torch.arange(width, dtype=torch.float64)
    angle = position / 10000 ** (2 * torch.div(channel, 2, rounding_mode='floor') / width)
    table = torch.where(channel.long() % 2 == 0, angle.sin(), angle.cos())
    return table.float()
