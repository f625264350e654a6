"""The fixed positions of a video transformer's tokens. Needs only torch; models and checkpoints both use them."""

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


def axial_positions(grid: tuple[int, int, int], width: int) -> Tensor:
    """Sinusoidal position embedding over time, row and column, as MVD has it.

    Args:
        grid: (T', H', W') tokens.
        width: D, a multiple of 16.

    Returns:
        (T'H'W', D) fp32, tokens in the order time, row, column. The first D/4 channels are the time, then 3D/8 the
        column and 3D/8 the row; each axis of d channels has d/2 sines, then d/2 cosines, of p / 10000^(2i/d).

    Raises:
        ValueError: if the width is not a multiple of 16.

    Source: MVD (arXiv:2212.04500), `get_3d_sincos_pos_embed` of its released code.
    """
    if width % 16:
        raise ValueError(f"MVD's positions need a width that is a multiple of 16; found {width}.")
    time, row, column = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing='ij')
    parts = [_axis(time.flatten(), width // 4), *(_axis(p.flatten(), 3 * width // 8) for p in (column, row))]
    return torch.cat(parts, dim=1).float()


def _axis(position: Tensor, channels: int) -> Tensor:
    """(N,) -> (N, channels)"""
    angle = position[:, None] / 10000 ** (torch.arange(channels // 2, dtype=torch.float64) / (channels / 2))
    return torch.cat([angle.sin(), angle.cos()], dim=1)
