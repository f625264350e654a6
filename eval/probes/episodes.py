"""Few-shot episodes: a classifier from a few clips of a few classes, many times over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episode:
    """Positions of the clips of one episode.

    Attributes:
        classes: (W,) the classes, in the order in which they were drawn.
        support: (W, K) clips to learn from.
        queries: (W, Q) clips to classify, none of them in the support.
    """

    classes: np.ndarray
    support: np.ndarray
    queries: np.ndarray


def large_enough(labels: np.ndarray, least: int) -> np.ndarray:
    """Classes with `least` clips or more, ascending."""
    classes, counts = np.unique(labels, return_counts=True)
    return classes[counts >= least]


def draw_episodes(labels: np.ndarray, ways: int, shots: int, queries: int, number: int, seed: int) -> Iterator[Episode]:
    """Episodes of `ways` classes, drawn without replacement among those with `shots + queries` clips.

    Args:
        labels: (N,) classes of the clips.
        ways, shots, queries: W classes of K clips to learn from and Q to classify.
        number: Episodes. The first ones do not depend on it.
        seed: Of the draws.

    Raises:
        ValueError: if fewer than `ways` classes are large enough.
    """
    usable = large_enough(labels, shots + queries)
    if len(usable) < ways:
        raise ValueError(
            f'{ways}-way episodes of {shots} + {queries} clips per class were asked for, and {len(usable)} of '
            f'{len(np.unique(labels))} classes have that many'
        )
    members = {label: np.flatnonzero(labels == label) for label in usable.tolist()}
    rng = np.random.default_rng(seed)
    for _ in range(number):
        classes = rng.choice(usable, ways, replace=False)
        clips = np.stack([rng.choice(members[c], shots + queries, replace=False) for c in classes.tolist()])
        yield Episode(classes, clips[:, :shots], clips[:, shots:])


def episode_accuracy(values: np.ndarray, episode: Episode) -> float:
    """Share of the queries whose nearest class mean is their own, from 0 to 1.

    Means of unit features are compared by cosine (`CentroidProbe`). A query that is as near to another class is wrong.

    Args:
        values: (N, D) features of all clips.
        episode: Of these clips.
    """
    from eval.probes.neighbours import CentroidProbe  # imports torch, which drawing does not need

    (ways, shots), num_queries = episode.support.shape, episode.queries.shape[1]
    probe = CentroidProbe(values[episode.support.ravel()], np.repeat(np.arange(ways), shots), ways)
    scores = probe.scores(values[episode.queries.ravel()])  # (W * Q, W)
    own = np.take_along_axis(scores, np.repeat(np.arange(ways), num_queries)[:, None], axis=1)
    return float(((scores >= own).sum(axis=1) == 1).mean())  # the own class equals itself
