"""A held-out part of the training clips, on which settings are chosen. Test clips are never used for that."""

from __future__ import annotations

import numpy as np


def held_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which training clips are held out: about `share` of each class, at least one of a class with two or more.

    A class with a single clip stays in the other part, alike for all settings.

    Args:
        labels: (N,) classes.
        share: Between 0 and 1.
        seed: Draws the clips.

    Returns:
        (N,) bool.

    Raises:
        ValueError: if no class has two clips.
    """
    rng, chosen = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        if len(of_class) > 1:
            chosen[of_class[: min(len(of_class) - 1, max(1, round(share * len(of_class))))]] = True
    if not chosen.any():
        raise ValueError('every class has a single training clip; choosing settings needs a class with two')
    return chosen
