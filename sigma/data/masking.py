"""Which tokens of a clip stay visible: tubes, or regions that follow the motion.

T' x H' x W' is the token grid (time, row, column), N tokens in all, V of them visible; V' visible cells per time slot.
"""

from collections.abc import Sequence

import cv2
import numpy as np


def tube_mask(rows: int, columns: int, mask_ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Random cells of the spatial grid that stay visible in every time slot.

    Args:
        rows, columns: H' and W' of the token grid.
        mask_ratio: Share masked, in (0, 1); floor(mask_ratio * cells) are masked in every clip.
        rng: Source of randomness.

    Returns:
        (V',) int64 cell numbers in rising order. At 0.9 on 14 x 14: 20 visible, 176 masked.

    Raises:
        ValueError: if nothing would stay visible or nothing would be masked.

    Source: VideoMAE (arXiv:2203.12602), section 3.3.
    """
    cells = rows * columns
    return np.sort(rng.permutation(cells)[cells - num_visible_cells(rows, columns, mask_ratio) :])


def num_visible_cells(rows: int, columns: int, mask_ratio: float) -> int:
    """V': the number of cells minus floor(mask_ratio * cells).

    Raises:
        ValueError: if nothing would stay visible or nothing would be masked.
    """
    cells = rows * columns
    num_masked = int(mask_ratio * cells)
    if not 0 < num_masked < cells:
        raise ValueError(
            f'Mask ratio {mask_ratio} of {rows}x{columns} cells would mask {num_masked} of '
            f'{cells}; choose a ratio in [{1 / cells:.3f}, {1 - 1 / cells:.3f}].'
        )
    return cells - num_masked


def gaussian_map(rows: int, columns: int, cell_pixels: int, cells: np.ndarray) -> np.ndarray:
    """Soft visibility: a Gaussian bump on each chosen cell; the maximum where they overlap.

    Args:
        rows, columns: H' and W' of the token grid.
        cell_pixels: Side of a cell in pixels of the map.
        cells: (V',) cell numbers.

    Returns:
        (rows * cell_pixels, columns * cell_pixels) fp32 in (0, 1]: exp(-(distance / cell_pixels)^2) to the nearest
        centre.

    Source: MGMAE (arXiv:2308.10794), base map `mix_gauss` of its recipe. There it is divided by its maximum, which does
    not change the order.
    """
    centres = np.stack(np.divmod(cells, columns), axis=1) * cell_pixels + (cell_pixels - 1) / 2
    y = np.exp(-(((np.arange(rows * cell_pixels)[None] - centres[:, :1]) / cell_pixels) ** 2))
    x = np.exp(-(((np.arange(columns * cell_pixels)[None] - centres[:, 1:]) / cell_pixels) ** 2))
    return (y[:, :, None] * x[:, None, :]).max(axis=0).astype(np.float32)


def warp_maps(base_map: np.ndarray, towards_base: np.ndarray, base: int) -> np.ndarray:
    """Warp a map from its own frame to all others, frame by frame along the motion.

    Args:
        base_map: (h, w) fp32 > 0, at frame `base`.
        towards_base: (T, h, w, 2) fp32, pixels (x, y): displacement of each pixel of frame t to its place in the
            neighbouring frame on the side of the base. The base's own entry is not used.
        base: Frame number of the map.

    Returns:
        (T, h, w) fp32. Pixels that come into view have no source; they take the base map's value at their place.

    Source: MGMAE (arXiv:2308.10794), section 3.2 and the recipe of its released code: warping backward, filling
    `consist`. That code means to use the flow from each frame to its neighbour on the side of the base, as here, but
    reads the setting under another name (`backwarp`). Before the base it uses the opposite flow, so its masks move
    against the content there.
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
    """Visible tokens that follow the motion, starting from the middle frame; the same count in every time slot.

    Args:
        towards_base: (T, h, w, 2) fp32 as in `warp_maps`, towards frame T // 2; h and w are equal multiples of H'
            and W', T a multiple of T'.
        grid: (T', H', W').
        mask_ratio: Share masked in every slot; the count of `tube_mask`.
        rng: Source of randomness; one draw per mask, the same as for a tube mask.

    Returns:
        (T' V',) int64 token numbers in rising order. Without motion they are the tubes that `tube_mask` draws.

    Raises:
        ValueError: if the motion does not fit the grid, or as `num_visible_cells`.

    Source: MGMAE (arXiv:2308.10794), section 3.2. Its code keeps int(196 * (1 - 0.9)) = 19 cells per slot; we
    keep 20, as for a tube mask, so that a step costs the same with either.
    """
    slots, rows, columns = grid
    frames, height, width, _ = towards_base.shape
    cell_pixels = height // rows
    if frames % slots or (height, width) != (rows * cell_pixels, columns * cell_pixels):
        raise ValueError(
            f'A motion-guided mask of {slots}x{rows}x{columns} tokens got motion of {frames} frames of '
            f'{height}x{width}; give multiples of the grid, with square cells.'
        )
    base_map = gaussian_map(rows, columns, cell_pixels, tube_mask(rows, columns, mask_ratio, rng))
    maps = warp_maps(base_map, towards_base, frames // 2)
    # (T, h, w) -> (T', H'W'): sum over the frames and pixels of each tubelet
    held = maps.reshape(slots, frames // slots, rows, cell_pixels, columns, cell_pixels).sum(axis=(1, 3, 5))
    held = held.reshape(slots, rows * columns)
    kept = num_visible_cells(rows, columns, mask_ratio)
    best = np.sort(np.argsort(-held, axis=1, kind='stable')[:, :kept], axis=1)
    return (best + rows * columns * np.arange(slots)[:, None]).reshape(-1)


def mask_overlay(frames: np.ndarray, visible: np.ndarray, shade: float = 0.2) -> np.ndarray:
    """Darken the masked tokens of the frames; leave the visible ones as they are.

    Args:
        frames: (T, H, W, 3) uint8.
        visible: (T', H', W') bool; T, H and W are multiples of these.
        shade: Brightness of masked tokens relative to the original, in [0, 1].

    Returns:
        (T, H, W, 3) uint8.

    Raises:
        ValueError: if the mask does not fit the frames.
    """
    steps = [side // cells for side, cells in zip(frames.shape[:3], visible.shape)]
    if tuple(step * cells for step, cells in zip(steps, visible.shape)) != frames.shape[:3]:
        raise ValueError(
            f'A mask of {"x".join(map(str, visible.shape))} tokens does not fit {frames.shape[0]} frames of '
            f'{frames.shape[1]}x{frames.shape[2]}.'
        )
    seen = visible
    for axis, step in enumerate(steps):
        seen = seen.repeat(step, axis=axis)
    return np.where(seen[..., None], frames, np.rint(frames * shade).astype(np.uint8))
