"""Intervals and comparisons of scores that several seeds reached on the same test videos.

`interval` and `paired_difference` take shares (correct = 1, wrong = 0) and return percent. For a score that is not a
share of videos, such as a mean average precision or a mean error, use `bootstrap_interval` and `bootstrap_difference`:
they take functions that score resamples of the videos, and return the unit of those scores.

Shape letters: N videos, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

NUM_RESAMPLES = 10_000
# Used when every round scores all videos again. The ends of an interval are then known to about 2 % of its width.
NUM_RESCORED = 1_000

# weights (N, B): how often each resample contains each video -> (B,) scores
Scorer = Callable[[np.ndarray], np.ndarray]


class Interval(NamedTuple):
    """A mean score and its confidence interval over seeds and test videos; percent, or the unit of the scores."""

    mean: float
    low: float
    high: float
    num_seeds: int
    num_videos: int
    how: str


class Difference(NamedTuple):
    """Score of a minus score of b, in points or the unit of the scores; p is two-sided, against no difference."""

    difference: float
    low: float
    high: float
    p: float
    num_videos: int
    how: str


def interval(per_seed_correct: Sequence[np.ndarray], level: float = 0.95) -> Interval:
    """Confidence interval of the mean score over seeds, for other seeds and other test videos of the same kind.

    Two things are random: the seed (initial weights, data order, few-shot draw) and which videos are in the test set.
    All seeds share the test videos, so an error bar over seeds alone misses the second.

    - seeds: half-width t_(n-1) s / sqrt(n), where s is the standard deviation of n scores; t is 4.3 for three seeds.
    - videos: Wilson's interval for the mean over videos of the mean over seeds. The number of trials is
      mean (1 - mean) / se^2, where se is the standard error over videos; for one seed of right and wrong it is N.
      Unlike mean +- z se, this interval stays between 0 and 100 percent and has a width at both ends; elsewhere, with
      many videos, the two agree.

    On each side the two half-widths are joined by the root of the sum of squares (MOVER: Zou and Donner, Statistics in
    Medicine 2008). This is conservative, since part of the noise of the seeds is in se too. With one seed the interval
    covers the videos only, and `how` says so.

    Args:
        per_seed_correct: One (N,) array per seed, the same videos in the same order; bool, or shares whose mean is the
            score (eval.metrics.Metric.per_video).
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
    """Like `interval`, from the score of each seed in percent, when the result of each video is unknown.

    The error over videos is then that of a single seed, which is never smaller.

    Raises:
        ValueError: if there is no seed or no video.
    """
    shares = np.asarray(scores, dtype=float) / 100
    if shares.size == 0 or num_videos < 1:
        raise ValueError(f'{shares.size} seeds and {num_videos} videos; an interval needs one of each')
    found = _join(shares, float(shares.mean()), num_videos, num_videos, level)
    return found._replace(how=found.how + ', from scores alone')


def interval_over_seeds(
    scores: Sequence[float], level: float = 0.95, limits: tuple[float, float] = (-np.inf, np.inf)
) -> Interval:
    """Student's t interval over seeds, for a metric that is no mean over videos. With one seed the bounds are NaN.

    `limits` is the range of the score.
    """
    values = np.asarray(scores, dtype=float)
    half = _seeds_half_width(values, level) if len(values) > 1 else np.nan
    mean, how = float(values.mean()), 'seeds only' if len(values) > 1 else 'none: one seed of this metric'
    low, high = (float(np.clip(bound, *limits)) for bound in (mean - half, mean + half))
    return Interval(mean, low, high, len(values), 0, how)


def bootstrap_interval(
    scorers: Sequence[Scorer],
    num_videos: int,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
    num_resamples: int = NUM_RESCORED,
) -> Interval:
    """Like `interval`, for a score that is not a share of right answers; in the unit of the scores.

    Each round draws videos with replacement, the same for all seeds, and scores the draw. The rounds are then shifted
    so that their mean is the score itself: copies of a video tie with each other, which raises a mean average precision
    a little and says nothing about the encoder. The interval holds for test sets of this size, since a mean average
    precision is higher with few videos than with many. Seeds are joined as in `interval`. Unlike Wilson's interval, a
    bootstrap has no width if all videos agree, as with an error of 0. The random state is fixed. Rounds without a score
    (NaN, for instance because no drawn video has a true segment) are dropped.

    Args:
        scorers: One per seed, for the same videos; `mean_scorer` makes one from a value per video.
        num_videos: N, at least 1.
        level: Confidence, between 0 and 1.
        limits: Range of the score.
        num_resamples: Rounds.

    Raises:
        ValueError: if there is no seed or no video.
    """
    scores = _scores_of(scorers, num_videos)
    mean = float(scores.mean())
    (rounds,) = _rescored([scorers], num_videos, num_resamples, np.random.default_rng(0))
    low, high = np.quantile(rounds - rounds.mean(), [(1 - level) / 2, (1 + level) / 2])
    seeds = _seeds_half_width(scores, level)
    low, high = mean - np.hypot(low, seeds), mean + np.hypot(high, seeds)
    low, high = (float(np.clip(bound, *limits)) for bound in (low, high))
    how = 'test videos only (one seed)' if len(scores) == 1 else f'{len(scores)} seeds and test videos'
    return Interval(mean, low, high, len(scores), num_videos, f'{how}, bootstrap')


def mean_scorer(values: np.ndarray) -> Scorer:
    """A scorer that takes the weighted mean of (N,) values."""
    values = np.asarray(values, dtype=float)
    return lambda weights: values @ weights / weights.sum(axis=0)


def _join(seed_scores: np.ndarray, mean: float, trials: float, num_videos: int, level: float) -> Interval:
    """Joins the errors over seeds and over videos; takes shares, returns percent."""
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
    # At 0 and 1, rounding would leave the share just outside.
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
    """How much better a is than b on the same videos, by a paired bootstrap.

    Each round draws N videos with replacement, the same for a and b, so videos that are hard for both cancel out. It
    then shifts the difference by a random error of the seeds: a Student t draw with their standard error (of the paired
    differences if seeds pair up, else one draw for a and one for b). Seeds themselves are not resampled, because there
    are too few: on simulated runs with three seeds, resampling them covered the truth in 77 to 98 of 100 intervals of
    95 %, this method in 95 to 99. The random state is fixed, so the same input gives the same result. Nothing is
    corrected for multiple comparisons.

    Args:
        a: One (N,) array per seed, as in `interval`.
        b: The same videos in the same order.
        level: Confidence, between 0 and 1.
        paired_seeds: Whether the i-th seeds of a and b share something, such as the few-shot draw. None pairs them if
            a and b have equally many.
        num_resamples: Rounds.

    Raises:
        ValueError: if a and b have different numbers of videos, or of seeds that should pair up.
    """
    ours, theirs = _stack(a), _stack(b)  # (seeds, N)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f'{ours.shape[1]} videos against {theirs.shape[1]}; a paired difference needs the same ones')
    paired_seeds = _whether_paired(len(ours), len(theirs), paired_seeds)
    rng = np.random.default_rng(0)
    per_video = ours.mean(axis=0) - theirs.mean(axis=0)  # (N,)
    sign = -1 if per_video.mean() < 0 else 1  # as in `_difference`: the draws depend on the order of the values
    rounds = sign * _bootstrap_means(sign * per_video, num_resamples, rng)
    found = _difference(
        float(per_video.mean()), rounds, ours.mean(axis=1), theirs.mean(axis=1), paired_seeds, level, (-1, 1), rng
    )
    value, low, high = (100 * float(share) for share in found[:3])
    return Difference(value, low, high, found.p, ours.shape[1], found.how)


def bootstrap_difference(
    a: Sequence[Scorer],
    b: Sequence[Scorer],
    num_videos: int,
    level: float = 0.95,
    paired_seeds: bool | None = None,
    num_resamples: int = NUM_RESCORED,
) -> Difference:
    """Like `paired_difference`, for scores that are not shares; in their unit.

    Each round scores the same draw of videos for a and b. The rounds are shifted so that their mean is the difference
    itself (`bootstrap_interval` says why).

    Args:
        a, b: One scorer per seed, all for the same videos in the same order.
        num_videos: N.
        level, paired_seeds, num_resamples: As in `paired_difference`.

    Raises:
        ValueError: if there is no seed or no video, or a and b have different numbers of seeds that should pair up.
    """
    scores_a, scores_b = _scores_of(a, num_videos), _scores_of(b, num_videos)
    paired_seeds = _whether_paired(len(scores_a), len(scores_b), paired_seeds)
    rng = np.random.default_rng(0)
    rounds_a, rounds_b = _rescored([a, b], num_videos, num_resamples, rng)
    mean = float(scores_a.mean() - scores_b.mean())
    rounds = rounds_a - rounds_b
    rounds += mean - rounds.mean()
    found = _difference(mean, rounds, scores_a, scores_b, paired_seeds, level, (-np.inf, np.inf), rng)
    return found._replace(num_videos=num_videos)


def _difference(
    mean: float,
    rounds: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    paired_seeds: bool,
    level: float,
    limits: tuple[float, float],
    rng: np.random.Generator,
) -> Difference:
    """Adds the random error of the seeds to the rounds over videos; the caller sets num_videos.

    The better side draws first, with its sign, so b against a is exactly minus a against b.
    """
    sign = -1 if mean < 0 else 1
    for scores in [scores_a - scores_b] if paired_seeds else [scores_a, scores_b][::sign]:
        if len(scores) > 1:
            error = scores.std(ddof=1) / np.sqrt(len(scores))
            rounds = rounds + sign * error * rng.standard_t(len(scores) - 1, len(rounds))
    low, high = np.clip(np.quantile(rounds, [(1 - level) / 2, (1 + level) / 2]), *limits)
    low, high = (
        round(float(bound), 12) + 0.0 for bound in (low, high)
    )  # rounding error never counts as a win; no -0.0
    # Adding one keeps p above 0: the data themselves count as one of the draws.
    beyond = min((rounds <= 0).sum(), (rounds >= 0).sum())
    p = min(1.0, 2 * (beyond + 1) / (len(rounds) + 1))
    how = 'paired bootstrap over test videos'
    counts = (len(scores_a), len(scores_b))
    if counts == (1, 1):
        how += ' only (one seed each)'
    else:
        how += ', with the spread of seeds' + (' of one side (one seed on the other)' if 1 in counts else '')
    return Difference(mean, float(low), float(high), float(p), 0, how)


def _whether_paired(num_a: int, num_b: int, paired_seeds: bool | None) -> bool:
    if paired_seeds is None:
        return num_a == num_b
    if paired_seeds and num_a != num_b:
        raise ValueError(f'{num_a} seeds against {num_b} cannot pair up')
    return paired_seeds


def _scores_of(scorers: Sequence[Scorer], num_videos: int) -> np.ndarray:
    """(seeds,) scores on the videos themselves."""
    if len(scorers) == 0 or num_videos < 1:
        raise ValueError(f'{len(scorers)} seeds and {num_videos} videos; an interval needs one of each')
    once = np.ones((num_videos, 1))
    return np.array([float(scorer(once)[0]) for scorer in scorers])


def _rescored(
    sides: Sequence[Sequence[Scorer]], num_videos: int, num_resamples: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """For each side, the mean over its seeds in each round; all sides score the same draws of videos.

    Returns `num_resamples` rounds, without those that have no score.

    Raises:
        ValueError: if no round has a score.
    """
    step = max(1, 120_000 // num_videos)  # pieces fit in a cache, since each is gathered once per class
    rounds: list[list[np.ndarray]] = [[] for _ in sides]
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        drawn = rng.integers(0, num_videos, (num_videos, size)) * size + np.arange(size)
        counts = np.bincount(drawn.ravel(), minlength=num_videos * size)
        weights = counts.reshape(num_videos, size).astype(np.float32)
        for side, found in zip(sides, rounds):
            found.append(np.mean([scorer(weights) for scorer in side], axis=0))
    scores = np.stack([np.concatenate(found) for found in rounds])  # (sides, rounds)
    defined = np.isfinite(scores).all(axis=0)
    if not defined.any():
        raise ValueError(f'none of {num_resamples} draws of {num_videos} videos has a score, so there is no interval')
    return list(scores[:, defined])


def _bootstrap_means(values: np.ndarray, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of `num_resamples` draws with replacement.

    Right and wrong over a few seeds take few distinct values, so it is enough and far cheaper to draw how often each
    value occurs (a multinomial). Otherwise all N values are drawn, in pieces that fit in memory.
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
        raise ValueError(f'each seed needs one array of the same videos, found {found}')
    return np.stack(arrays)
