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

Source: Obuchowski and Rockette (Communications in Statistics - Simulation and Computation, 1995) for readers and cases,
which are seeds and videos here; degrees of freedom by Hillis (Statistics in Medicine, 2007), who takes d as infinite.
The comparison of S^2 with I is ours; docs/statistics.md says how often the intervals hold the truth.

Shape letters: S seeds, N videos, R rounds of a bootstrap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
    _, inverse, counts = np.unique(strata.label, return_inverse=True, return_counts=True)
    member = np.zeros((len(counts), num))
    member[inverse, np.arange(num)] = 1
    weight = member @ strata.weight  # (C,) of each class
    means = values @ member.T / counts  # (S, C)
    scores = means @ weight
    products = np.stack([(values * row) @ member.T / counts for row in values])  # (S, S, C) mean of x_i x_j
    within = products - means[:, None] * means[None]
    pooled = products @ weight - np.outer(scores, scores)
    shared = (within.sum(axis=2) + PRIOR_CLASSES * pooled) / ((1 - 1 / counts).sum() + PRIOR_CLASSES)
    each = within + shared[..., None] / counts
    return scores, each @ (weight**2 / counts)


def of_mean(scores: np.ndarray, covariance: np.ndarray, freedom: float = np.inf) -> Variance:
    """Variance of the mean of (S,) scores with their (S, S) covariance over videos, known to `freedom` degrees."""
    found = _side(scores, covariance)
    return _sum([found], found.videos, freedom)


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


def _side(scores: np.ndarray, covariance: np.ndarray) -> _Side:
    num, diagonal = len(scores), float(np.trace(covariance))
    if num == 1:
        return _Side(0.0, 0.0, diagonal, 1)
    videos = max(0.0, (float(covariance.sum()) - diagonal) / (num * (num - 1)))
    luck = max(0.0, diagonal / num - videos)
    return _Side(float(scores.var(ddof=1)) / num, luck / num, videos, num)


def _sum(sides: list[_Side], videos: float, freedom: float) -> Variance:
    """Sum of the variances, with degrees of freedom by Satterthwaite."""
    spread, luck = sum(side.spread for side in sides), sum(side.luck for side in sides)
    apart = spread > luck
    total = videos + max(spread, luck)
    of_seeds = sum(
        (side.spread if apart else side.luck) ** 2 / (side.num_seeds - 1) for side in sides if side.num_seeds > 1
    )
    of_videos = videos**2 / freedom
    lost = (of_videos + of_seeds * apart, of_videos + of_seeds)
    freedom, for_p = (total**2 / each if each > 0 else np.inf for each in lost)
    return Variance(total, freedom, for_p, max(0.0, spread - luck))
