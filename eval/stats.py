"""Intervals and comparisons of scores that several seeds reached on the same test videos.

Shape letters: N videos. Inputs are shares of one (correct = 1, wrong = 0), outputs are percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

NUM_RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean score with the range that seeds and test videos leave open; percent."""

    mean: float
    low: float
    high: float
    num_seeds: int
    num_videos: int
    how: str


class Difference(NamedTuple):
    """Score of a minus score of b, percent points; p is two-sided, for no difference."""

    difference: float
    low: float
    high: float
    p: float
    num_videos: int
    how: str


def interval(per_seed_correct: Sequence[np.ndarray], level: float = 0.95) -> Interval:
    """Interval for the mean score over seeds, on videos like these and seeds like these.

    Two things could have come out otherwise: the seed (initial weights, order, few-shot draw) and which
    videos the test set holds. Seeds share the test videos, so the 'error bar over seeds' alone does not see
    the second.

    - seeds: half-width t_(n-1) s / sqrt(n), s being the standard deviation of n scores; t is 4.3 for three.
    - videos: Wilson's interval for the mean over videos of the mean over seeds. Its number of trials is
      mean (1 - mean) / se^2, se being the standard error over videos; for one seed of right and wrong this is
      N. Unlike mean +- z se it does not shrink to nothing at 0 or 100 percent and stays between them;
      elsewhere, with many videos, the two agree.

    The two are joined on each side by the root of the sum of squares (the MOVER construction of Zou and
    Donner, Statistics in Medicine 2008). That is careful on purpose: part of the seeds' noise is also in se.
    With one seed only the videos count, and `how` says so.

    Args:
        per_seed_correct: One (N,) array a seed, the same videos in the same order; bool, or shares whose
            mean is the score (eval.metrics.Metric.per_video).
        level: Confidence, between 0 and 1.

    Raises:
        ValueError: if there is no seed or no video, or the arrays differ in length.
    """
    values = _stack(per_seed_correct)  # (seeds, N)
    num_seeds, num_videos = values.shape
    mean, variance = float(values.mean()), float(values.mean(axis=0).var())
    if variance > 0 and 0 < mean < 1:
        # Not more trials than there were answers.
        trials = min(mean * (1 - mean) * num_videos / variance, num_videos * num_seeds)
    else:
        trials = num_videos
    return _join(values.mean(axis=1), mean, trials, num_videos, level)


def interval_from_scores(scores: Sequence[float], num_videos: int, level: float = 0.95) -> Interval:
    """As `interval`, where the score (percent) of each seed is known but not what became of each video.

    The part of the videos is then that of a single seed, which is never the smaller one.
    """
    scores = np.asarray(scores, dtype=float) / 100
    if scores.size == 0 or num_videos < 1:
        raise ValueError(f'{scores.size} seeds and {num_videos} videos; an interval needs one of each')
    found = _join(scores, float(scores.mean()), num_videos, num_videos, level)
    return found._replace(how=found.how + ', from scores alone')


def interval_over_seeds(scores: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t over seeds, for a metric that is no mean over videos; one seed leaves the bounds NaN."""
    scores = np.asarray(scores, dtype=float)
    half = _seeds_half_width(scores, level) if len(scores) > 1 else np.nan
    mean, how = float(scores.mean()), 'seeds only' if len(scores) > 1 else 'none: one seed of this metric'
    return Interval(mean, mean - half, mean + half, len(scores), 0, how)


def _join(seed_scores: np.ndarray, mean: float, trials: float, num_videos: int, level: float) -> Interval:
    """Joins the part of the seeds with that of the videos; takes shares, gives percent."""
    low, high = _wilson(mean, trials, level)
    seeds = _seeds_half_width(seed_scores, level)
    low = mean - np.hypot(mean - low, seeds)
    high = mean + np.hypot(high - mean, seeds)
    num_seeds = len(seed_scores)
    how = 'test videos only (one seed)' if num_seeds == 1 else f'{num_seeds} seeds and test videos'
    low, high = (float(np.clip(100 * bound, 0, 100)) for bound in (low, high))
    return Interval(100 * mean, low, high, num_seeds, num_videos, how)


def _wilson(share: float, trials: float, level: float) -> tuple[float, float]:
    z = stats.norm.ppf((1 + level) / 2)
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # At 0 and 1 rounding would put the share a hair outside.
    return min(centre - half, share), max(centre + half, share)


def _seeds_half_width(scores: np.ndarray, level: float) -> float:
    if len(scores) == 1:
        return 0.0
    return float(stats.t.ppf((1 + level) / 2, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores)))


def paired_difference(
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    level: float = 0.95,
    paired_seeds: bool | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Difference:
    """How much better a is than b on the same videos.

    A bootstrap. Each round draws N videos with replacement, the same for a and b, so that a video which is
    hard for both cancels out; and it moves the difference by a draw for the seeds. That draw is a Student t
    with their standard error (over the differences of pairs where seeds pair up, else one for a and one for
    b), since few seeds cannot be drawn from with replacement: on simulated runs of three seeds that covered
    the truth in 77 to 98 of 100 intervals meant for 95, this in 95 to 99. The random state is fixed, so the
    same input gives the same answer. Several comparisons are not corrected for.

    Args:
        a: One (N,) array a seed, as in `interval`.
        b: The same videos in the same order.
        level: Confidence, between 0 and 1.
        paired_seeds: Whether the i-th seeds of a and b share something, such as the few-shot draw. None takes
            them as pairs where their number is equal.
        num_resamples: Rounds.

    Raises:
        ValueError: if a and b differ in their number of videos, or seeds are to pair up and differ in number.
    """
    a, b = _stack(a), _stack(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f'{a.shape[1]} videos against {b.shape[1]}; a paired difference needs the same ones')
    if paired_seeds is None:
        paired_seeds = len(a) == len(b)
    if paired_seeds and len(a) != len(b):
        raise ValueError(f'{len(a)} seeds against {len(b)} cannot pair up')
    rng = np.random.default_rng(0)
    per_video = a.mean(axis=0) - b.mean(axis=0)  # (N,)
    rounds = _bootstrap_means(per_video, num_resamples, rng)
    for scores in [(a - b).mean(axis=1)] if paired_seeds else [a.mean(axis=1), b.mean(axis=1)]:
        if len(scores) > 1:
            error = scores.std(ddof=1) / np.sqrt(len(scores))
            rounds = rounds + error * rng.standard_t(len(scores) - 1, num_resamples)
    low, high = np.clip(np.quantile(rounds, [(1 - level) / 2, (1 + level) / 2]), -1, 1)
    # One is added so that p is never 0: the data themselves are one of the draws.
    beyond = min((rounds <= 0).sum(), (rounds >= 0).sum())
    p = min(1.0, 2 * (beyond + 1) / (num_resamples + 1))
    how = 'paired bootstrap over test videos'
    if len(a) == len(b) == 1:
        how += ' only (one seed each)'
    else:
        how += ', with the spread of seeds' + (' of one side (one seed on the other)' if 1 in (len(a), len(b)) else '')
    low, high, mean = (100 * float(share) for share in (low, high, per_video.mean()))
    return Difference(mean, low, high, float(p), a.shape[1], how)


def _bootstrap_means(values: np.ndarray, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of `num_resamples` draws with replacement.

    Right and wrong over a few seeds take few distinct values, so how often each is drawn (a multinomial) says
    all and costs far less than N draws; values that are all distinct go the plain way, in pieces that fit in
    memory.
    """
    distinct, counts = np.unique(values, return_counts=True)
    num = len(values)
    if len(distinct) <= 100:
        return rng.multinomial(num, counts / num, size=num_resamples) @ distinct / num
    step = max(1, 4_000_000 // num)
    sizes = [min(step, num_resamples - start) for start in range(0, num_resamples, step)]
    return np.concatenate([values[rng.integers(0, num, (size, num))].mean(axis=1) for size in sizes])


def _stack(per_seed: Sequence[np.ndarray]) -> np.ndarray:
    arrays = [np.asarray(array, dtype=float) for array in per_seed]
    sizes = {array.shape for array in arrays}
    if len(sizes) != 1 or len(size := sizes.pop()) != 1 or size[0] == 0:
        found = ', '.join(str(array.shape) for array in arrays) or 'no seed'
        raise ValueError(f'wanted an array of the same videos for each seed, found {found}')
    return np.stack(arrays)
