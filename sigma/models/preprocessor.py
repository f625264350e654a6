"""Turns a batch of decoded samples into the tensors of a step, on the device."""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from sigma.registry import MODELS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@MODELS.register_module()
class ClipPreprocessor(BaseDataPreprocessor):
    """uint8 clips and their masks -> pixels, normalised clip, and token indices.

    Args:
        grid: (T', H', W') of the encoder.
        mean, std: Per channel, for pixels in [0, 1]. Default: ImageNet's, as published.

    A batch is a dict of lists. `inputs`: uint8 (3, T, H, W). The mask is either `visible_tubes`, int64 (V',), the cells
    of the H' x W' grid that are visible in every time slot, or `visible_tokens`, int64 (V,), token numbers in the whole
    grid; both ascending. Several masks per clip add one axis in front. `decode_phase`, one number per mask, makes the
    decoder predict only half of the masked tokens. Masks are drawn with the sample, not here, so the mask of a clip
    depends only on seed, epoch and clip, not on the number of processes or on a resume.
    """

    def __init__(self, grid: tuple[int, int, int], mean=IMAGENET_MEAN, std=IMAGENET_STD) -> None:
        super().__init__()
        slots, rows, columns = grid
        self.grid = (slots, rows, columns)
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict[str, Tensor]:
        """The arguments of the model's forward pass.

        Returns:
            `pixels` (B, 3, T, H, W) in [0, 1], `clip` (the same, normalised), `visible` (B, V) and `masked` (B, M), or
            (B, R, V) and (B, R, M) with R masks per clip. `masked` are the tokens to predict: all masked ones, or half
            of them with `decode_phase`.

        Raises:
            ValueError: if the batch has no mask.
        """
        pixels = self._on_device(data['inputs']).float().div_(255)
        if 'visible_tokens' in data:
            visible = self._on_device(data['visible_tokens'])
            masked = complement(visible, math.prod(self.grid))
        elif 'visible_tubes' in data:
            visible, masked = token_indices(self._on_device(data['visible_tubes']), self.grid)
        else:
            raise ValueError(
                'The batch has no mask; put sigma.TubeMask or sigma.MotionMask into the pipeline, before '
                'sigma.PackPretraining.'
            )
        if 'decode_phase' in data:
            masked = running_cell(masked, self._on_device(data['decode_phase']), self.grid)
        return {
            'pixels': pixels,
            'clip': (pixels - self.mean).div_(self.std),
            'visible': visible,
            'masked': masked,
        }

    def _on_device(self, tensors: Sequence[Tensor]) -> Tensor:
        # One by one: stacking pinned clips gives unpinned memory, whose copy would block.
        return torch.stack([tensor.to(self.device, non_blocking=True) for tensor in tensors])


def token_indices(visible_tubes: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Token indices of a tube mask.

    Args:
        visible_tubes: (..., V') int64 cells of the H' x W' grid, ascending.
        grid: (T', H', W').

    Returns:
        visible (..., T'V') and masked (..., T'(H'W' - V')), ascending; tokens count time, row, column.
    """
    slots, cells = grid[0], grid[1] * grid[2]
    offsets = cells * torch.arange(slots, device=visible_tubes.device)[:, None]
    masked_tubes = complement(visible_tubes, cells)
    spread = [(tubes[..., None, :] + offsets).flatten(-2) for tubes in (visible_tubes, masked_tubes)]
    return spread[0], spread[1]


def complement(index: Tensor, total: int) -> Tensor:
    """Numbers below `total` that are not in `index` (..., V): (..., total - V), ascending. No wait for the device."""
    is_in = torch.zeros(*index.shape[:-1], total, dtype=torch.int64, device=index.device)
    is_in.scatter_(-1, index, 1)
    # A stable sort lists those outside the index first, in ascending order.
    return is_in.argsort(dim=-1, stable=True)[..., : total - index.shape[-1]]


def running_cell(masked: Tensor, phase: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """The half of the masked tokens to decode: two of every 2x2 cells, shifted by one in each time slot.

    Args:
        masked: (..., M) int64 token numbers, ascending.
        phase: (...) int64 in [0, 4), the shift in the first time slot.
        grid: (T', H', W').

    Returns:
        (..., M // 2) int64, ascending. For tube masks and T' a multiple of 4, these are exactly the tokens of the
        cell. Otherwise the cell may hold more or fewer masked tokens than M // 2: then its last ones are left out, or
        the first of the others are added.

    Raises:
        ValueError: if there is not one phase per mask.

    Source: VideoMAE V2 (arXiv:2303.16727), section 3.2, running cell at ratio 0.5.
    """
    if phase.shape != masked.shape[:-1]:
        raise ValueError(
            f'sigma.RunningCell drew phases of shape {tuple(phase.shape)} for masks of shape '
            f'{tuple(masked.shape[:-1])}; give it the same num_masks as the mask.'
        )
    rows, columns = grid[1:]
    slot, cell = masked // (rows * columns), masked % (rows * columns)
    place = 2 * (cell // columns % 2) + cell % columns % 2
    is_left_out = ((place + slot + phase[..., None]) % 4 >= 2).long()
    order = is_left_out.argsort(dim=-1, stable=True)[..., : masked.shape[-1] // 2]
    return masked.gather(-1, order.sort(dim=-1).values)
