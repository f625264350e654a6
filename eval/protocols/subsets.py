"""Which training clips a few-shot cell trains on."""

import hashlib
from collections.abc import Sequence

import numpy as np


def few_a_class(labels: Sequence[int], per_class: int, seed: int) -> list[int]:
    """Positions of `per_class` clips of each class, drawn without replacement.

    Args:
        labels: (N,) of the whole list, readable or not, so that unreadable files never change the draw.
        per_class: Clips per class; a class with fewer gives all of its clips.
        seed: Of `numpy.random.RandomState`; classes are drawn in ascending order from one stream.

    Returns:
        Positions in ascending order.

    Source: the sampler of SIGMA's and SEVERE's fine-tuning code (with seed 99999 and ceil(N / C) clips per class).
    """
    if per_class < 1:
        raise ValueError(f'{per_class} clips per class were asked for; a draw needs 1 or more')
    classes = np.asarray(labels)
    rng = np.random.RandomState(seed)  # noqa: NPY002 - the published stream
    chosen: list[int] = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        chosen += rng.choice(members, min(per_class, len(members)), replace=False).tolist()
    return sorted(chosen)


# Seeds of the published draws: SEVERE and SIGMA use the first; the others are in their code too.
DRAW_SEEDS = (99999, 12345, 19)


def examples_of_all(labels: Sequence[int], num_examples: int, num_classes: int, seed: int) -> list[int]:
    """Positions of about `num_examples` clips: ceil(num_examples / num_classes) of each class.

    Args:
        labels: (N,) of the whole list.
        num_examples: As asked; 1000 gives 1,010 clips of UCF101 and 1,089 of Gym99.
        num_classes: Of the dataset.
        seed: Of the cell; 0, 1 and 2 select the three published draws (`DRAW_SEEDS`), others are used as they are.

    Source: SEVERE (ECCV 2022), its code; see `few_a_class`.
    """
    return few_a_class(labels, -(-num_examples // num_classes), draw_seed(seed))


def draw_seed(seed: int) -> int:
    """Seed of the draw, from the seed of the cell.

    Raises:
        ValueError: if it is not a whole number from 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f'seed {seed} was asked for; a draw needs a whole number from 0')
    return DRAW_SEEDS[seed] if seed < len(DRAW_SEEDS) else seed


def subset_sha256(videos: Sequence[str]) -> str:
    """sha256 (hex) of the names of the drawn videos, in order."""
    return hashlib.sha256('\n'.join(videos).encode()).hexdigest()
