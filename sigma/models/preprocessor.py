"""From a batch of decoded samples to the tensors of a step, on the device."""

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from sigma.registry import MODELS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@MODELS.register_module()
class ClipPreprocessor(BaseDataPreprocessor):
    """uint8 clips and spatial tube masks -> pixels, normalised clip, and token indices.

    Args:
        grid: (T', H', W') of the encoder.
        mean, std: Of pixels in [0, 1]. ImageNet's, as published.

    A batch is a dict of lists: `inputs` uint8 (3, T, H, W), `visible_tubes` int64 (V',) cells of the H' x W' grid
    that stay visible in every time slot, in rising order. Masks are drawn with the sample and not here, so that a
    clip's mask depends on seed, epoch and clip alone, and not on the number of processes or on a resume.
    """

    def __init__(self, grid: tuple[int, int, int], mean=IMAGENET_MEAN, std=IMAGENET_STD) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict[str, Tensor]:
        """Returns pixels (B, 3, T, H, W) in [0, 1], clip (the same, normalised), visible (B, V), masked (B, M)."""
        video = torch.stack(list(data['inputs'])).to(self.device, non_blocking=True)
        visible_tubes = torch.stack(list(data['visible_tubes'])).to(self.device, non_blocking=True)
        pixels = video.float() / 255
        visible, masked = token_indices(visible_tubes, self.grid)
        return {
            'pixels': pixels,
            'clip': (pixels - self.mean) / self.std,
            'visible': visible,
            'masked': masked,
        }


def token_indices(visible_tubes: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Token indices of a tube mask.

    Args:
        visible_tubes: (B, V') int64 cells of the H' x W' grid, rising.
        grid: (T', H', W').

    Returns:
        visible (B, T'V') and masked (B, T'(H'W' - V')), rising, in token order time, row, column.
    """
    slots, cells = grid[0], grid[1] * grid[2]
    is_visible = torch.zeros(visible_tubes.shape[0], cells, dtype=torch.int64, device=visible_tubes.device)
    is_visible.scatter_(1, visible_tubes, 1)
    # A stable sort by visibility lists masked cells first, then visible ones, each in rising order.
    order = is_visible.argsort(dim=1, stable=True)
    masked_tubes = order[:, : cells - visible_tubes.shape[1]]
    offsets = cells * torch.arange(slots, device=visible_tubes.device)[None, :, None]
    spread = [(tubes[:, None] + offsets).flatten(1) for tubes in (visible_tubes, masked_tubes)]
    return spread[0], spread[1]
