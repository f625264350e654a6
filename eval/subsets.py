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


def subset_sha256(videos: Sequence[str]) -> str:
    """Hash of the drawn videos, in their order."""
    return hashlib.sha256('\n'.join(videos).encode()).hexdigest()
