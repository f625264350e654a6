"""Intervals and comparisons of scores that several seeds reached on the same test videos.

`interval` and `paired_difference` take shares (correct = 1, wrong = 0) and return percent. For a score that is not a
share of videos, such as a mean average precision or a mean error, use `bootstrap_interval` and `bootstrap_difference`:
they take functions that score resamples of the videos, and return the unit of those scores. `eval/report/p_values.py`
has the tests. `eval/report/variances.py` says how seeds and videos add up; docs/statistics.md, how often these
intervals hold the truth (`python -m tools.benchmark statistics`).

Shape letters: S seeds, N videos, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats takes ten times as long for one value

from eval.report.bootstrap import (
    NUM_RESCORED,
    Draws,
    MeanScorer,
    Scorer,
    check_numbers,
    refuse_infinite,
    rescored,
    scores_of,
)
from eval.report.p_values import mcnemar, p_of_swaps, p_of_t
from eval.report.variances import Pool, Spread, Strata, Variance, of_difference, of_mean, share_covariance, spread

# A verdict on fewer common videos would rest on next to nothing.
MIN_VIDEOS = 10
ALPHA = 0.05
# In `Interval.how`, where few seeds have the spread of all cells.
POOLED = ', spread of seeds pooled over'


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


# --- intervals -------------------------------------------------------------------------------------------------------


def interval(
    per_seed_correct: Sequence[np.ndarray],
    level: float = 0.95,
    strata: Strata | None = None,
    pooled: Pool | None = None,
) -> Interval:
    """Confidence interval of the mean score over seeds, for other seeds and other test videos of the same kind.

    Two things are random: the seed (initial weights, data order, few-shot draw) and which videos are in the test set.
    All seeds share the test videos, so an error bar over seeds alone misses the second. `eval.report.variances` joins
    the two in one variance V with d degrees of freedom.

    The half-widths are those of Wilson's interval with mean (1 - mean) / W trials, joined with z sqrt(V - W) by the
    root of the sum of squares, times t_d / z; W is V without that by which seeds differ more than by the luck of
    videos. For one seed of right and wrong that is Wilson's interval of N trials. Unlike mean +- z se, it stays between
    0 and 100 percent and has a width at both ends; with many videos and seeds that differ it is Student's t. With one
    seed the interval covers the videos only, and `how` says so.

    Args:
        per_seed_correct: One (N,) array per seed, the same videos in the same order; bool, or shares from 0 to 1 whose
            mean is the score (`eval.metrics.Metric.per_video`).
        level: Confidence, between 0 and 1.
        strata: For a mean over classes: the class and the weight of each video (`eval.metrics.Metric.weights`).
        pooled: Spread of seeds over several cells, used with two or three seeds (`share_spread`).

    Raises:
        ValueError: if there is no seed or no video, the arrays differ in length, hold something else than shares, do
            not fit the strata, or the level is not between 0 and 1.
    """
    _check_level(level)
    values = _stack(per_seed_correct)  # (S, N)
    strata = _checked_strata(strata, values.shape[1])
    scores, covariance = share_covariance(values, strata)
    mean, variance, trials = _side(values, strata, scores, covariance, pooled)
    below, above = _half_widths(mean, trials, variance, level)
    wider = _t_over_z(variance.freedom, level)
    found = _in_percent(mean, wider * below, wider * above, len(scores), values.shape[1])
    return found._replace(how=found.how + _which_pool(variance))


def share_spread(per_seed_correct: Sequence[np.ndarray], strata: Strata | None = None) -> Spread:
    """How far apart the seeds of one cell are, for `eval.report.variances.pool`; arguments as in `interval`."""
    values = _stack(per_seed_correct)
    scores, covariance = share_covariance(values, _checked_strata(strata, values.shape[1]))
    mean = float(np.clip(scores.mean(), 0, 1))
    return spread(scores, covariance, mean * (1 - mean))


def interval_from_scores(scores: Sequence[float], num_videos: int, level: float = 0.95) -> Interval:
    """Like `interval`, from the score of each seed in percent, when the result of each video is unknown.

    The error over videos is then that of a single seed, which is never smaller. It is joined with Student's t interval
    over seeds by the root of the sum of squares, on each side.

    Raises:
        ValueError: if there is no seed or no video, a score is not between 0 and 100, or the level not between 0 and 1.
    """
    _check_level(level)
    shares = np.asarray(scores, dtype=float).ravel() / 100
    check_numbers(shares.size, num_videos)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f'scores are {[float(score) for score in scores]}; need percent, from 0 to 100')
    mean, num = float(shares.mean()), len(shares)
    seeds = _t_quantile(num - 1, level) * float(shares.std(ddof=1)) / math.sqrt(num) if num > 1 else 0.0
    low, high = _wilson(mean, num_videos, level)
    found = _in_percent(mean, math.hypot(mean - low, seeds), math.hypot(high - mean, seeds), num, num_videos)
    return found._replace(how=found.how + ', from scores alone')


def interval_over_seeds(
    scores: Sequence[float], level: float = 0.95, limits: tuple[float, float] = (-np.inf, np.inf)
) -> Interval:
    """Student's t interval over seeds, for a metric that is no mean over videos.

    `limits` is the range of the score. The bounds are NaN with one seed, and where all seeds have one score: how far
    other seeds would be is then not known, and an interval of no width would look certain.

    Raises:
        ValueError: if there is no seed, a score is not finite, or the level is not between 0 and 1.
    """
    _check_level(level)
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f'scores have shape {values.shape}; need one per seed, (S,)')
    refuse_infinite(values, 'scores of seeds')
    num, mean = len(values), float(values.mean())
    if num == 1:
        return Interval(mean, math.nan, math.nan, 1, 0, 'none: one seed of this metric')
    if (values == values[0]).all():
        return Interval(mean, math.nan, math.nan, num, 0, f'none: {num} seeds with one score, and no predictions')
    half = _t_quantile(num - 1, level) * float(values.std(ddof=1)) / math.sqrt(num)
    low, high = (float(np.clip(bound, *limits)) for bound in (mean - half, mean + half))
    return Interval(mean, low, high, num, 0, 'seeds only')


def bootstrap_interval(
    scorers: Sequence[Scorer],
    num_videos: int,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
    num_resamples: int = NUM_RESCORED,
    pooled: Pool | None = None,
    draws: Draws | None = None,
) -> Interval:
    """Like `interval`, for a score that is not a share of right answers; in the unit of the scores.

    Each round draws videos with replacement, the same for all seeds, and scores the draw. The covariance of the seeds
    (`Draws.covariance`) is what the videos add to the variance; seeds join as in `interval`. The interval has the skew
    of the rounds: their quantiles around their mean, scaled to the standard error and to Student's t. The mean of the
    rounds itself is not used: copies of a video tie with each other, which raises a mean average precision a little and
    says nothing about the encoder. The interval holds for test sets of this size, since a mean average precision is
    higher with few videos than with many. Unlike Wilson's interval, it has no width if all videos agree, as with an
    error of 0; with a single video there is none (NaN). The random state is fixed. Rounds without a score (NaN, for
    instance because no drawn video has a true segment) are dropped.

    Args:
        scorers: One per seed, for the same videos; `mean_scorer` makes one from a value per video.
        num_videos: N, at least 1.
        level: Confidence, between 0 and 1.
        limits: Range of the score.
        num_resamples: Rounds.
        pooled: As in `interval` (`bootstrap_spread`).
        draws: What `rescored` gave for these scorers, to save the time of computing it again.

    Raises:
        ValueError: if there is no seed, no video or no round, a score is not finite, or the level is not between 0
            and 1.
    """
    _check_level(level)
    scores = scores_of(scorers, num_videos)
    mean, num = float(scores.mean()), len(scores)
    how = 'test videos only (one seed)' if num == 1 else f'{num} seeds and test videos'
    if num_videos == 1:
        return Interval(mean, math.nan, math.nan, num, 1, 'none: one video of this metric')
    draws = rescored(scorers, num_videos, num_resamples) if draws is None else draws
    variance = of_mean(scores, draws.covariance, num_videos - 1, pooled, _unit(mean, limits))
    low, high = _around(mean, draws.rounds.mean(axis=0), variance, level)
    low, high = (float(np.clip(bound, *limits)) for bound in (low, high))
    return Interval(mean, low, high, num, num_videos, f'{how}, bootstrap' + _which_pool(variance))


def bootstrap_spread(
    scorers: Sequence[Scorer],
    num_videos: int,
    draws: Draws,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Spread:
    """Like `share_spread`, for a score that is not a share; arguments as in `bootstrap_interval`, N >= 2."""
    scores = scores_of(scorers, num_videos)
    return spread(scores, draws.covariance, _unit(float(scores.mean()), limits))


def _unit(mean: float, limits: tuple[float, float]) -> float:
    """What the variance of seeds is proportional to: less near the ends of a range that has two, else the same."""
    low, high = limits
    return max(0.0, (mean - low) * (high - mean)) if math.isfinite(high - low) else 1.0


# --- differences -----------------------------------------------------------------------------------------------------


def paired_difference(
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    level: float = 0.95,
    paired_seeds: bool | None = None,
    strata: Strata | None = None,
) -> Difference:
    """How much better a is than b on the same videos, for shares of right answers; in points.

    Interval: Newcombe's hybrid score interval for paired shares (his method 8). It joins the half-widths of Wilson's
    intervals of both sides and takes off what they share: l^2 - 2 f l u + u^2, where f is the correlation of the two
    scores. With several seeds each side has its own variance over seeds and videos (`interval`), f follows from the
    variance of the difference, and the half-widths are multiplied by t / z of its degrees of freedom (MOVER: Zou and
    Donner, Statistics in Medicine 2008). Where a and b give the same answers method 8 has no width, so no bound is
    nearer than Tango's score interval of equal answers, z^2 / (N + z^2). Newcombe's method 10 avoids that by a smaller
    f, which made the intervals of few videos too wide in simulated tables.

    p: with one seed on each side, McNemar's exact test. Otherwise the sum over videos of what a is better, against all
    ways to swap a and b in each video (one seed of right and wrong: McNemar's test again). With several seeds that
    says nothing about other seeds, so p is then the larger one of this test and of Student's t with the variance over
    seeds and videos. Nothing is corrected for several comparisons here (`holm`).

    Args:
        a: One (N,) array per seed, as in `interval`.
        b: The same videos in the same order.
        level: Confidence, between 0 and 1.
        paired_seeds: Whether the i-th seeds of a and b share something, such as the few-shot draw. None pairs them if
            a and b have equally many.
        strata: As in `interval`.

    Raises:
        ValueError: as `interval`, and if a and b have different numbers of videos, or of seeds that should pair up.

    Source: Newcombe, Statistics in Medicine 1998, 17:2635; Tango, ibid. 17:891; McNemar, Psychometrika 1947.
    """
    _check_level(level)
    ours, theirs = _stack(a), _stack(b)  # (S, N)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f'{ours.shape[1]} videos against {theirs.shape[1]}; a paired difference needs the same ones')
    num_a, num_videos = ours.shape
    paired_seeds = _whether_paired(num_a, len(theirs), paired_seeds)
    strata = _checked_strata(strata, num_videos)
    scores, covariance = share_covariance(np.concatenate([ours, theirs]), strata)
    variance = of_difference(scores, covariance, num_a, paired_seeds)

    sides = []
    for values, part in ((ours, slice(None, num_a)), (theirs, slice(num_a, None))):
        mean, own, trials = _side(values, strata, scores[part], covariance[part, part])
        sides.append((mean, own.value, trials, *_half_widths(mean, trials, own, level)))
    (mean_a, own_a, trials_a, below_a, above_a), (mean_b, own_b, trials_b, below_b, above_b) = sides
    shared = (own_a + own_b - variance.value) / 2
    scale = math.sqrt(own_a * own_b)
    correlation = float(np.clip(shared / scale, -1, 1)) if scale > 0 else 0.0
    wider = _t_over_z(variance.freedom, level)
    value = mean_a - mean_b
    low = value - wider * _hypot(below_a, above_b, correlation)
    high = value + wider * _hypot(above_a, below_b, correlation)
    least = _tango_of_equal_answers(min(trials_a, trials_b), level)
    low, high = max(-1.0, min(low, value - least)), min(1.0, max(high, value + least))

    weight = np.full(num_videos, 1 / num_videos) if strata is None else strata.weight
    p = p_of_swaps((ours.mean(axis=0) - theirs.mean(axis=0)) * weight)
    how = 'paired over test videos'
    if (num_a, len(theirs)) == (1, 1):
        if strata is None and _is_binary(ours, theirs):
            p = float(mcnemar((ours > theirs).sum(), (ours < theirs).sum()))
    else:
        p = max(p, p_of_t(value, variance))
    how += _which_seeds(num_a, len(theirs))
    value, low, high = (round(100 * bound, 10) + 0.0 for bound in (value, low, high))  # no -0.0
    return Difference(value, low, high, p, num_videos, how)


def bootstrap_difference(
    a: Sequence[Scorer],
    b: Sequence[Scorer],
    num_videos: int,
    level: float = 0.95,
    paired_seeds: bool | None = None,
    num_resamples: int = NUM_RESCORED,
) -> Difference:
    """Like `paired_difference`, for scores that are not shares; in their unit.

    Each round scores the same draw of videos for a and b; videos that are hard for both cancel out. The variance and
    the interval come from the rounds as in `bootstrap_interval`, and p from Student's t. For a mean over videos
    (`mean_scorer` on both sides) p is the larger one of that and of the test by swaps of `paired_difference`.

    Args:
        a, b: One scorer per seed, all for the same videos in the same order.
        num_videos: N; with one video there is no interval (NaN) and p is 1.
        level, paired_seeds: As in `paired_difference`.
        num_resamples: Rounds.

    Raises:
        ValueError: as `bootstrap_interval`, and if a and b have different numbers of seeds that should pair up.
    """
    _check_level(level)
    scores = np.concatenate([scores_of(a, num_videos), scores_of(b, num_videos)])
    num_a, num_b = len(a), len(b)
    paired_seeds = _whether_paired(num_a, num_b, paired_seeds)
    value = float(scores[:num_a].mean() - scores[num_a:].mean())
    how = 'paired bootstrap over test videos' + _which_seeds(num_a, num_b)
    if num_videos == 1:
        return Difference(value, math.nan, math.nan, 1.0, 1, 'none: one video')
    draws = rescored([*a, *b], num_videos, num_resamples)
    variance = of_difference(scores, draws.covariance, num_a, paired_seeds, num_videos - 1)
    rounds = draws.rounds
    low, high = _around(value, rounds[:num_a].mean(axis=0) - rounds[num_a:].mean(axis=0), variance, level)
    p = p_of_t(value, variance)
    means = [[scorer.values for scorer in side if isinstance(scorer, MeanScorer)] for side in (a, b)]
    if len(means[0]) == num_a and len(means[1]) == num_b:
        p = max(p, p_of_swaps(np.mean(means[0], axis=0) - np.mean(means[1], axis=0)))
    low, high = (round(bound, 12) + 0.0 for bound in (low, high))  # rounding error never counts as a win; no -0.0
    return Difference(value, low, high, p, num_videos, how)


def is_clear(found: Difference, p_corrected: float) -> bool:
    """Whether a verdict may be given: the corrected p is below 0.05, and the interval excludes 0."""
    return p_corrected < ALPHA and not found.low <= 0 <= found.high


# --- parts -----------------------------------------------------------------------------------------------------------


def _side(
    values: np.ndarray,
    strata: Strata | None,
    scores: np.ndarray,
    covariance: np.ndarray,
    pooled: Pool | None = None,
) -> tuple[float, Variance, float]:
    """Mean share of one side, its variance, and the number of trials for Wilson's interval."""
    mean = float(np.clip(scores.mean(), 0, 1))
    variance = of_mean(scores, covariance, pooled=pooled, unit=mean * (1 - mean))
    one = _one_video(strata, values.shape[1])
    if not 1e-9 < mean < 1 - 1e-9:
        return mean, Variance(0.0, np.inf, np.inf), 1 / one  # seeds that are all right agree
    if strata is None:
        # Not more trials than there were answers.
        least = mean * (1 - mean) * one / len(scores)
        variance = variance._replace(value=max(variance.value, least + variance.apart))
    of_videos = variance.value - variance.apart
    return mean, variance, mean * (1 - mean) / of_videos if of_videos > 0 else len(scores) / one


def _one_video(strata: Strata | None, num_videos: int) -> float:
    """Variance of the score in units of that of one video: 1 / N, more if some videos weigh more than others."""
    return 1 / num_videos if strata is None else float((strata.weight**2).sum())


def _in_percent(mean: float, below: float, above: float, num_seeds: int, num_videos: int) -> Interval:
    """The interval of a share with these half-widths."""
    how = 'test videos only (one seed)' if num_seeds == 1 else f'{num_seeds} seeds and test videos'
    low, high = (float(np.clip(100 * bound, 0, 100)) for bound in (mean - below, mean + above))
    return Interval(100 * mean, low, high, num_seeds, num_videos, how)


def _half_widths(mean: float, trials: float, variance: Variance, level: float) -> tuple[float, float]:
    """Wilson's half-widths, joined with what seeds differ by; without the factor t / z."""
    low, high = _wilson(mean, trials, level)
    apart = _t_quantile(math.inf, level) * math.sqrt(variance.apart)
    return math.hypot(mean - low, apart), math.hypot(high - mean, apart)


def _wilson(share: float, trials: float, level: float) -> tuple[float, float]:
    z = _t_quantile(math.inf, level)
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # At 0 and 1, rounding would leave the share just outside.
    return min(centre - half, share), max(centre + half, share)


def _t_over_z(freedom: float, level: float) -> float:
    """Student's t as a multiple of the normal quantile."""
    return _t_quantile(freedom, level) / _t_quantile(math.inf, level)


def _t_quantile(freedom: float, level: float) -> float:
    """Half-width of Student's t in standard errors; of a normal variate for infinite degrees of freedom."""
    upper = (1 + level) / 2
    return float(special.stdtrit(freedom, upper) if math.isfinite(freedom) else special.ndtri(upper))


def _tango_of_equal_answers(trials: float, level: float) -> float:
    """Half-width of Tango's score interval of a paired difference, as a share, if no answer differs."""
    z = _t_quantile(math.inf, level)
    return z**2 / (trials + z**2)


def _hypot(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))


def _around(value: float, rounds: np.ndarray, variance: Variance, level: float) -> tuple[float, float]:
    """Bounds with the skew of the rounds (R,), scaled to the standard error and to Student's t."""
    spread = float(rounds.std())
    error = math.sqrt(variance.value)
    if spread <= 1e-12 * max(1.0, abs(value)):  # only the seeds differ
        half = _t_quantile(variance.freedom, level) * error
        return value - half, value + half
    low, high = np.quantile(rounds - rounds.mean(), [(1 - level) / 2, (1 + level) / 2])
    wider = _t_over_z(variance.freedom, level) * error / spread
    return value + wider * float(low), value + wider * float(high)


def _is_binary(*arrays: np.ndarray) -> bool:
    return all(((array == 0) | (array == 1)).all() for array in arrays)


def _which_pool(variance: Variance) -> str:
    return f'{POOLED} {variance.num_pooled} cells' if variance.num_pooled else ''


def _which_seeds(num_a: int, num_b: int) -> str:
    if (num_a, num_b) == (1, 1):
        return ' only (one seed each)'
    return ', with the spread of seeds' + (' of one side (one seed on the other)' if 1 in (num_a, num_b) else '')


def _whether_paired(num_a: int, num_b: int, paired_seeds: bool | None) -> bool:
    if paired_seeds is None:
        return num_a == num_b
    if paired_seeds and num_a != num_b:
        raise ValueError(f'{num_a} seeds against {num_b} cannot pair up')
    return paired_seeds


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f'a level of {level} was asked for; it is a share between 0 and 1, such as 0.95')


def _checked_strata(strata: Strata | None, num_videos: int) -> Strata | None:
    if strata is None:
        return None
    label, weight = np.asarray(strata.label), np.asarray(strata.weight, dtype=float)
    if label.shape != (num_videos,) or weight.shape != (num_videos,):
        raise ValueError(f'strata of shapes {label.shape} and {weight.shape} for {num_videos} videos; need one each')
    if not np.isfinite(weight).all() or (weight < 0).any() or abs(float(weight.sum()) - 1) > 1e-6:
        raise ValueError(f'weights of videos sum to {float(weight.sum()):g}; need shares that sum to 1')
    return Strata(label, weight)


def _stack(per_seed: Sequence[np.ndarray]) -> np.ndarray:
    arrays = [np.asarray(array, dtype=float) for array in per_seed]
    sizes = {array.shape for array in arrays}
    if len(sizes) != 1 or len(size := sizes.pop()) != 1 or size[0] == 0:
        found = ', '.join(str(array.shape) for array in arrays) or 'no seed'
        raise ValueError(f'each seed needs one array of the same videos, found {found}')
    values = np.stack(arrays)
    outside = ~((values >= -1e-9) & (values <= 1 + 1e-9))  # NaN too
    if outside.any():
        seed, video = np.argwhere(outside)[0]
        raise ValueError(
            f'{int(outside.sum())} of {values.size} values are no shares from 0 to 1, first {values[seed, video]} of '
            f'video {video}; percents must be divided by 100, and other scores bootstrapped'
        )
    return values
