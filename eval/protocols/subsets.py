"""Which training clips a few-shot cell sees."""

import hashlib
from collections.abc import Sequence

import numpy as np


def few_a_class(labels: Sequence[int], per_class: int, seed: int) -> list[int]:
    """Positions of `per_class` clips of every class, drawn without replacement.

    Args:
        labels: (N,) of the whole list, readable or not: what is on this disk never changes the draw.
        per_class: Clips of a class; a class with fewer gives all it has.
        seed: Of `numpy.random.RandomState`; classes are drawn in ascending order from one stream.

    Returns:
        Positions in rising order.

    Source: the sampler of SIGMA's and SEVERE's fine-tuning code (there with seed 99999 and ceil(N / C) a class).
    """
    labels = np.asarray(labels)
    rng = np.random.RandomState(seed)  # noqa: NPY002 - the published stream
    chosen: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen += rng.choice(members, min(per_class, len(members)), replace=False).tolist()
    return sorted(chosen)


# Seeds of the published draws: SEVERE and SIGMA use the first, the others stand beside it in their code.
DRAW_SEEDS = (99999, 12345, 19)


def examples_of_all(labels: Sequence[int], num_examples: int, num_classes: int, seed: int) -> list[int]:
    """Positions of about `num_examples` clips, ceil(num_examples / num_classes) of every class.

    Args:
        labels, num_examples: As asked; 1000 of UCF101 are 1,010 clips, 1000 of Gym99 1,089.
        num_classes: Of the dataset.
        seed: Of the cell; 0, 1 and 2 take the three published draws (`DRAW_SEEDS`), others themselves.

    Source: SEVERE (ECCV 2022), its code; see `few_a_class`.
    """
    return few_a_class(labels, -(-num_examples // num_classes), draw_seed(seed))


def draw_seed(seed: int) -> int:
    """Seed of the draw of a cell with this seed."""
    return DRAW_SEEDS[seed] if seed < len(DRAW_SEEDS) else seed


def subset_sha256(videos: Sequence[str]) -> str:
    """Hash of the drawn videos, in their order."""
    return hashlib.sha256('\n'.join(videos).encode()).hexdigest()
