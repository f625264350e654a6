"""From a batch of decoded samples to the tensors of a step, on the device."""

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
        mean, std: Of pixels in [0, 1]. ImageNet's, as published.

    A batch is a dict of lists: `inputs` uint8 (3, T, H, W), and either `visible_tubes` int64 (V',), cells of the
    H' x W' grid that stay visible in every time slot, or `visible_tokens` int64 (V,), tokens of the whole grid; both
    rising. Several masks of a clip have one more axis in front. `decode_phase` (one number a mask) has half of the
    masked tokens decoded. Masks are drawn with the sample and not here, so that a clip's mask depends on seed, epoch
    and clip alone, and not on the number of processes or on a resume.
    """

    def __init__(self, grid: tuple[int, int, int], mean=IMAGENET_MEAN, std=IMAGENET_STD) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict[str, Tensor]:
        """Returns pixels (B, 3, T, H, W) in [0, 1], clip (the same, normalised), visible (B, V), masked (B, M).

        With R masks a clip these are (B, R, V) and (B, R, M). `masked` are the tokens to be predicted: all that are
        masked, or the half of them that is decoded.

        Raises:
            ValueError: if a batch has no mask.
        """
        pixels = self._on_device(data['inputs']).float().div_(255)
        if 'visible_tokens' in data:
            visible = self._on_device(data['visible_tokens'])
            masked = complement(visible, math.prod(self.grid))
        elif 'visible_tubes' in data:
            visible, masked = token_indices(self._on_device(data['visible_tubes']), self.grid)
        else:
            raise ValueError(
                'A batch for pretraining has no mask; put sigma.TubeMask or sigma.MotionMask before '
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
        # One by one: a stack of pinned clips is no longer pinned, and its copy would be waited for.
        return torch.stack([tensor.to(self.device, non_blocking=True) for tensor in tensors])


def token_indices(visible_tubes: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Token indices of a tube mask.

    Args:
        visible_tubes: (..., V') int64 cells of the H' x W' grid, rising.
        grid: (T', H', W').

    Returns:
        visible (..., T'V') and masked (..., T'(H'W' - V')), rising, in token order time, row, column.
    """
    slots, cells = grid[0], grid[1] * grid[2]
    offsets = cells * torch.arange(slots, device=visible_tubes.device)[:, None]
    masked_tubes = complement(visible_tubes, cells)
    spread = [(tubes[..., None, :] + offsets).flatten(-2) for tubes in (visible_tubes, masked_tubes)]
    return spread[0], spread[1]


def complement(index: Tensor, total: int) -> Tensor:
    """Numbers under `total` that are not in `index` (..., V): (..., total - V), rising. Static shapes, no wait."""
    is_in = torch.zeros(*index.shape[:-1], total, dtype=torch.int64, device=index.device)
    is_in.scatter_(-1, index, 1)
    # A stable sort lists the others first, then those of the index, each in rising order.
    return is_in.argsort(dim=-1, stable=True)[..., : total - index.shape[-1]]


def running_cell(masked: Tensor, phase: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """The half of the masked tokens that is decoded: in each 2x2 cells of a time slot two, moving on by one a slot.

    Args:
        masked: (..., M) int64 token numbers, rising.
        phase: (...) int64 in [0, 4), where the cell begins.
        grid: (T', H', W').

    Returns:
        (..., M // 2) int64, rising. Where T' is a multiple of 4 and the mask is of tubes, exactly the cell's tokens.
        Otherwise the cell may hold more or fewer of the masked ones; the count stays, and the last are left out or
        the first of the others join.

    Raises:
        ValueError: if there is not one phase a mask.

    Source: VideoMAE V2 (arXiv:2303.16727), section 3.2, running cell at ratio 0.5.
    """
    if phase.shape != masked.shape[:-1]:
        raise ValueError(
            f'sigma.RunningCell drew phases {tuple(phase.shape)} for masks {tuple(masked.shape[:-1])}; give it the '
            'num_masks of the mask before it.'
        )
    rows, columns = grid[1:]
    slot, cell = masked // (rows * columns), masked % (rows * columns)
    place = 2 * (cell // columns % 2) + cell % columns % 2
    is_left_out = ((place + slot + phase[..., None]) % 4 >= 2).long()
    order = is_left_out.argsort(dim=-1, stable=True)[..., : masked.shape[-1] // 2]
    return masked.gather(-1, order.sort(dim=-1).values)
