"""Which tokens of a clip stay visible: tubes, or regions that follow the motion.

T' x H' x W' is the token grid (time, row, column), N its tokens, V of them visible; V' visible cells in a time slot.
"""

from collections.abc import Sequence

import cv2
import numpy as np


def tube_mask(rows: int, columns: int, mask_ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Random cells of the spatial grid that stay visible in every time slot.

    Args:
        rows, columns: H' and W' of the token grid.
        mask_ratio: Share masked, in (0, 1); floor(mask_ratio * cells) are masked, the same count in every clip.
        rng: Source of randomness.

    Returns:
        (V',) int64 cell numbers, rising. At 0.9 on 14 x 14: 20 visible, 176 masked.

    Raises:
        ValueError: if nothing would stay visible or nothing would be masked.

    Source: VideoMAE (arXiv:2203.12602), section 3.3.
    """
    cells = rows * columns
    return np.sort(rng.permutation(cells)[cells - num_visible_cells(rows, columns, mask_ratio) :])


def num_visible_cells(rows: int, columns: int, mask_ratio: float) -> int:
    """V': cells less floor(mask_ratio * cells).

    Raises:
        ValueError: if nothing would stay visible or nothing would be masked.
    """
    cells = rows * columns
    num_masked = int(mask_ratio * cells)
    if not 0 < num_masked < cells:
        raise ValueError(
            f'A mask was asked for ratio {mask_ratio} of {rows}x{columns} cells, which masks {num_masked} of '
            f'{cells}; choose a ratio in [{1 / cells:.3f}, {1 - 1 / cells:.3f}].'
        )
    return cells - num_masked


def gaussian_map(rows: int, columns: int, cell_pixels: int, cells: np.ndarray) -> np.ndarray:
    """Soft visibility: a Gaussian bump on each chosen cell, the highest one where they meet.

    Args:
        rows, columns: H' and W' of the token grid.
        cell_pixels: Pixels of the map along a side of a cell.
        cells: (V',) cell numbers.

    Returns:
        (rows * cell_pixels, columns * cell_pixels) fp32 in (0, 1]: exp(-(distance / cell_pixels)^2) to the nearest
        centre.

    Source: MGMAE (arXiv:2308.10794), base map `mix_gauss` of its recipe. There divided by its maximum, which changes
    no order.
    """
    centres = np.stack(np.divmod(cells, columns), axis=1) * cell_pixels + (cell_pixels - 1) / 2
    y = np.exp(-(((np.arange(rows * cell_pixels)[None] - centres[:, :1]) / cell_pixels) ** 2))
    x = np.exp(-(((np.arange(columns * cell_pixels)[None] - centres[:, 1:]) / cell_pixels) ** 2))
    return (y[:, :, None] * x[:, None, :]).max(axis=0).astype(np.float32)


def warp_maps(base_map: np.ndarray, towards_base: np.ndarray, base: int) -> np.ndarray:
    """Carry a map from its own frame to all others, frame by frame along the motion.

    Args:
        base_map: (h, w) fp32 > 0, at frame `base`.
        towards_base: (T, h, w, 2) fp32, pixels (x, y): where each pixel of frame t lies in the neighbouring frame on
            the side of the base, less its own place. That of the base itself is not read.
        base: Frame number of the map.

    Returns:
        (T, h, w) fp32. What comes into view has no source; it takes the value of the base map at its place.

    Source: MGMAE (arXiv:2308.10794), section 3.2 and the recipe of its released code: warping backward, filling
    `consist`. That code means to take the flow from each frame to its neighbour on the side of the base, as here, but
    asks for the setting by another name (`backwarp`) and takes the opposite one before the base, where its masks move
    against the content.
    """
    height, width = base_map.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    maps = np.empty((len(towards_base), height, width), np.float32)
    maps[base] = base_map
    for frame in [*range(base - 1, -1, -1), *range(base + 1, len(maps))]:
        source = maps[frame + 1 if frame < base else frame - 1]
        x, y = columns + towards_base[frame, ..., 0], rows + towards_base[frame, ..., 1]
        moved = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
        maps[frame] = np.where(outside, base_map, moved)
    return maps


def motion_mask(
    towards_base: np.ndarray, grid: Sequence[int], mask_ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """Visible tokens that follow the motion from the middle frame on, the same count in every time slot.

    Args:
        towards_base: (T, h, w, 2) fp32 as in `warp_maps`, towards frame T // 2; h and w are equal multiples of H'
            and W', T a multiple of T'.
        grid: (T', H', W').
        mask_ratio: Share masked in every slot; the count of `tube_mask`.
        rng: Source of randomness; one draw a mask, the same as a tube mask's.

    Returns:
        (T' V',) int64 token numbers, rising. Without motion they are the tubes that `tube_mask` draws.

    Raises:
        ValueError: if the motion does not fill the grid, or as `num_visible_cells`.

    Source: MGMAE (arXiv:2308.10794), section 3.2. Its code keeps int(196 * (1 - 0.9)) = 19 cells of a slot; we keep
    the 20 of a tube mask, so that a step costs the same with either.
    """
    slots, rows, columns = grid
    frames, height, width, _ = towards_base.shape
    cell_pixels = height // rows
    if frames % slots or (height, width) != (rows * cell_pixels, columns * cell_pixels):
        raise ValueError(
            f'A motion-guided mask of {slots}x{rows}x{columns} tokens was given motion of {frames} frames of '
            f'{height}x{width}; give multiples of the grid, with square cells.'
        )
    base_map = gaussian_map(rows, columns, cell_pixels, tube_mask(rows, columns, mask_ratio, rng))
    maps = warp_maps(base_map, towards_base, frames // 2)
    # (T, h, w) -> (T', H'W'): what a cell holds over the frames and pixels of its tubelet
    held = maps.reshape(slots, frames // slots, rows, cell_pixels, columns, cell_pixels).sum(axis=(1, 3, 5))
    held = held.reshape(slots, rows * columns)
    kept = num_visible_cells(rows, columns, mask_ratio)
    best = np.sort(np.argsort(-held, axis=1, kind='stable')[:, :kept], axis=1)
    return (best + rows * columns * np.arange(slots)[:, None]).reshape(-1)


def mask_overlay(frames: np.ndarray, visible: np.ndarray, shade: float = 0.2) -> np.ndarray:
    """A mask over the frames that it was drawn for: masked tokens are darkened, visible ones are as they are.

    Args:
        frames: (T, H, W, 3) uint8.
        visible: (T', H', W') bool; T, H and W are multiples of these.
        shade: Brightness left of a masked token, in [0, 1].

    Returns:
        (T, H, W, 3) uint8.

    Raises:
        ValueError: if the mask does not fill the frames.
    """
    steps = [side // cells for side, cells in zip(frames.shape[:3], visible.shape)]
    if tuple(step * cells for step, cells in zip(steps, visible.shape)) != frames.shape[:3]:
        raise ValueError(
            f'A mask of {"x".join(map(str, visible.shape))} tokens does not fill {frames.shape[0]} frames of '
            f'{frames.shape[1]}x{frames.shape[2]}.'
        )
    seen = visible
    for axis, step in enumerate(steps):
        seen = seen.repeat(step, axis=axis)
    return np.where(seen[..., None], frames, np.rint(frames * shade).astype(np.uint8))
