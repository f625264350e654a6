"""Variance of a mean over seeds that all scored the same test videos, and its degrees of freedom.

Seeds are repeated measures of the same videos, so the score of seed i is
    truth + seed_i + videos + (what this seed does with these videos),
and the mean over n seeds has the variance S^2 / n + C. S^2 is the variance of the n scores, which holds the first and
the last term; C is the covariance of two different seeds over other draws of the videos, which holds the second. C
comes from what is right in each video, or from a bootstrap. The quotient of error and standard error follows Student's
t with (S^2 / n + C)^2 / ((S^2 / n)^2 / (n - 1) + C^2 / d) degrees of freedom, where d is that of C.

The last term alone, I, is the variance of one seed over videos less C, and is known as well as C is. Where S^2 is not
above I, nothing tells that seeds differ by more than the luck of videos; the variance is then I / n + C, and no degree
of freedom is lost to the seeds. That holds on average over tables, which is what an interval promises, and less so far
in the tails, where the p of many comparisons lie; so a p always counts the n - 1 (`for_p`).

Two or three scores say little about S^2: with two, Student's t of one degree of freedom is 12.7. Cells of one protocol
and metric are alike in that, so intervals of few seeds take S^2 from all of them (`pool`): I + q u, where u is
m (1 - m) for a share of m, and q is what all cells together have beyond their luck. An own S^2 that is larger is kept,
with the freedom of the pool; where it is clearly larger, with its own n - 1.

Source: Obuchowski and Rockette (Communications in Statistics - Simulation and Computation, 1995) for readers and cases,
which are seeds and videos here; degrees of freedom by Hillis (Statistics in Medicine, 2007), who takes d as infinite.
The comparison of S^2 with I and the pool are ours; docs/statistics.md says how often the intervals hold the truth.

Shape letters: S seeds, N videos, R rounds of a bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

# So many seeds or fewer take their spread from all cells of their protocol.
FEW_SEEDS = 3
# A cell whose own spread is that unlikely under the pooled one keeps its own.
UNLIKE_THE_POOL = 0.01
# Counts one class at the largest possible spread, so that few classes cannot claim that there is none.
PRIOR_CLASSES = 1.0


class Strata(NamedTuple):
    """Videos that are sampled within classes, as for a mean over classes."""

    label: np.ndarray  # (N,) class of each video
    weight: np.ndarray  # (N,) weight of each video in the score; sums to 1, equal within a class


class Variance(NamedTuple):
    """Variance of a mean over seeds, and the degrees of freedom of its estimate (infinity: none are lost)."""

    value: float
    freedom: float  # for an interval
    for_p: float
    apart: float = 0.0  # the part of the value by which seeds differ more than by the luck of videos
    num_pooled: int = 0  # cells that the spread of seeds was pooled over; 0: the cell's own


class Spread(NamedTuple):
    """How far apart the scores of the seeds of one cell are."""

    squared: float  # S^2
    luck: float  # I
    unit: float  # u, what the variance of seeds is taken to be proportional to: m (1 - m) for a share of m
    freedom: float  # n - 1; less where cells share what makes seeds differ, such as few-shot draws


class Pool(NamedTuple):
    """Variance of seeds over several cells."""

    excess: float  # q
    freedom: float  # that of q times u^2, as 2 over its variance
    num_cells: int

    def of(self, luck: float, unit: float) -> tuple[float, float]:
        """S^2 of a cell with that I and u, and its degrees of freedom."""
        squared = luck + self.excess * unit
        return squared, (squared / unit) ** 2 * self.freedom if unit > 0 else np.inf


def pool(cells: Sequence[Spread]) -> Pool | None:
    """What the seeds of these cells have in common; None if fewer than two cells tell anything.

    q is the mean of (S^2 - I) / u, with weights by its precision in each cell: a cell of few videos tells less.
    """
    told = [cell for cell in cells if cell.freedom > 0 and cell.unit > 0 and cell.squared + cell.luck > 0]
    if len(told) < 2:
        return None
    squared, luck, unit, freedom = np.array(told, dtype=float).T
    weight, excess = freedom, 0.0
    for _ in range(2):  # equal weights first, since the right ones depend on q
        excess = max(0.0, float((weight * (squared - luck)).sum() / (weight * unit).sum()))
        expected = luck + excess * unit
        # A cell in which seeds give nearly equal answers must not outweigh all others.
        expected = np.maximum(expected, 0.1 * expected.mean())
        weight = freedom * unit / expected**2
    known = float((weight * unit).sum() ** 2 / (weight**2 * expected**2 / freedom).sum())
    return Pool(excess, known, len(told))


def share_covariance(values: np.ndarray, strata: Strata | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(S,) scores of (S, N) shares, and their (S, S) covariance over other draws of the videos.

    Without strata it is the covariance over videos, divided by N. With strata it is sum_c W_c^2 v_c / n_c, where class
    c has n_c videos, the weight W_c and the covariance v_c within it. A class of one video says nothing about v_c, and
    a class of two little, so every class borrows one degree of freedom from all classes:

        v_c = (n_c m_c + v) / n_c,   v = (sum_c m_c + PRIOR_CLASSES u) / (sum_c (1 - 1 / n_c) + PRIOR_CLASSES)

    m_c is the covariance within class c, divided by n_c, whose expectation is (1 - 1 / n_c) times the true one; u is
    the covariance of all videos regardless of classes, which is the most that v can be. With one video in every class
    v is u: an interval that is too wide where classes differ, since nothing tells how much they do.
    """
    num = values.shape[1]
    if strata is None:
        scores = values.mean(axis=1)
        around = values - scores[:, None]
        return scores, around @ around.T / num**2
    classes, inverse, counts = np.unique(strata.label, return_inverse=True, return_counts=True)
    by_class = np.zeros((len(classes), len(values)))
    np.add.at(by_class, inverse, values.T)
    size = counts[inverse]  # (N,) videos in the class of each video
    around = values - (by_class.T / counts)[:, inverse]
    scores = values @ strata.weight
    # sum_c W_c^2 m_c / n_c, where the weight of a video is W_c / n_c
    own = (around * strata.weight**2) @ around.T
    within = (around / size) @ around.T  # sum_c m_c
    pooled = (values * strata.weight) @ values.T - np.outer(scores, scores)
    shared = (within + PRIOR_CLASSES * pooled) / ((1 - 1 / counts).sum() + PRIOR_CLASSES)
    return scores, own + shared * float((strata.weight**2 / size).sum())


def spread(scores: np.ndarray, covariance: np.ndarray, unit: float) -> Spread:
    """Spread of (S,) scores with their (S, S) covariance over videos; `unit` as in `Spread`."""
    side = _side(scores, covariance)
    num = side.num_seeds
    return Spread(side.spread * num, side.luck * num, unit, num - 1)


def of_mean(
    scores: np.ndarray,
    covariance: np.ndarray,
    freedom: float = np.inf,
    pooled: Pool | None = None,
    unit: float = 1.0,
) -> Variance:
    """Variance of the mean of (S,) scores with their (S, S) covariance over videos, known to `freedom` degrees.

    With few seeds the spread is that of `pooled`, if it is given; `unit` as in `Spread`.
    """
    found = _side(scores, covariance)
    if pooled is None or not 1 < found.num_seeds <= FEW_SEEDS:
        return _sum([found], found.videos, freedom)
    num = found.num_seeds
    squared, known = pooled.of(found.luck * num, unit)
    if squared <= 0:  # all seeds give the same answers
        return _sum([found], found.videos, freedom)
    if special.fdtrc(num - 1, min(known, 1e9), found.spread * num / squared) < UNLIKE_THE_POOL:
        return _sum([found], found.videos, freedom)
    found = found._replace(spread=max(found.spread, squared / num), freedom=known)
    return _sum([found], found.videos, freedom)._replace(num_pooled=pooled.num_cells)


def of_difference(
    scores: np.ndarray, covariance: np.ndarray, num_a: int, paired_seeds: bool, freedom: float = np.inf
) -> Variance:
    """Variance of the mean of the first `num_a` scores minus the mean of the others; arguments as in `of_mean`."""
    if paired_seeds:
        contrast = np.hstack([np.eye(num_a), -np.eye(num_a)])
        return of_mean(contrast @ scores, contrast @ covariance @ contrast.T, freedom)
    sides = [_side(scores[part], covariance[part, part]) for part in (slice(None, num_a), slice(num_a, None))]
    shared = 2 * float(covariance[:num_a, num_a:].mean())
    videos = max(0.0, sum(side.videos for side in sides) - shared)  # rounding must not leave it below 0
    return _sum(sides, videos, freedom)


class _Side(NamedTuple):
    """What seeds and videos add to the variance of a mean over seeds."""

    spread: float  # S^2 / n; 0 for one seed
    luck: float  # I / n
    videos: float  # C; all of the variance for one seed
    num_seeds: int
    freedom: float  # of the spread


def _side(scores: np.ndarray, covariance: np.ndarray) -> _Side:
    num, diagonal = len(scores), float(np.trace(covariance))
    if num == 1:
        return _Side(0.0, 0.0, diagonal, 1, 0)
    videos = max(0.0, (float(covariance.sum()) - diagonal) / (num * (num - 1)))
    luck = max(0.0, diagonal / num - videos)
    return _Side(float(scores.var(ddof=1)) / num, luck / num, videos, num, num - 1)


def _sum(sides: list[_Side], videos: float, freedom: float) -> Variance:
    """Sum of the variances, with degrees of freedom by Satterthwaite."""
    spread, luck = sum(side.spread for side in sides), sum(side.luck for side in sides)
    apart = spread > luck
    total = videos + max(spread, luck)
    of_seeds = sum((side.spread if apart else side.luck) ** 2 / side.freedom for side in sides if side.num_seeds > 1)
    of_videos = videos**2 / freedom
    lost = (of_videos + of_seeds * apart, of_videos + of_seeds)
    freedom, for_p = (total**2 / each if each > 0 else np.inf for each in lost)
    return Variance(total, freedom, for_p, max(0.0, spread - luck))
