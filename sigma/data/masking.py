"""Which tubes of a clip stay visible."""

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
    num_masked = int(mask_ratio * cells)
    if not 0 < num_masked < cells:
        raise ValueError(
            f'A tube mask was asked for ratio {mask_ratio} of {rows}x{columns} cells, which masks {num_masked} of '
            f'{cells}; choose a ratio in [{1 / cells:.3f}, {1 - 1 / cells:.3f}].'
        )
    return np.sort(rng.permutation(cells)[num_masked:])
