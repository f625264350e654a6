"""What one row of a column measured: its interval, from predictions or from scores alone. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from eval.metrics import METRICS, Metric, Predictions
from eval.records import Record
from eval.report.bootstrap import MeanScorer, Scorer, mean_scorer, rescored, scores_of
from eval.report.statistics import (
    Interval,
    bootstrap_interval,
    bootstrap_spread,
    interval,
    interval_from_scores,
    interval_over_seeds,
    share_spread,
)
from eval.report.variances import Pool, Spread, Strata, share_covariance


class Answers(NamedTuple):
    """What is kept of the predictions of a row once it is measured: enough to compare it with other rows.

    Shape letters: S seeds, N videos, R rounds of a bootstrap.
    """

    videos: np.ndarray  # (N,) names, sorted, the same for all seeds
    metric: Metric
    scores: np.ndarray  # (S,) of the seeds
    values: np.ndarray | None = None  # (S, N) per video, as `Metric.per_video` gives them; bool where right or wrong
    labels: np.ndarray | None = None  # (N,) classes, for a mean over classes
    rounds: np.ndarray | None = None  # (S, R) scores of resamples (`rescored`), where the score is not a share


class Measured(NamedTuple):
    """Interval of a row; and where seeds are several, how far they are apart and how to compute it with a pool."""

    interval: Interval
    spread: Spread | None = None
    pooled: Callable[[Pool], Interval] | None = None
    answers: Answers | None = None  # None without predictions of the same videos for all seeds


def measure(seeds: list[Record], predictions: Sequence[Predictions | None]) -> Measured:
    """Interval of a row: from predictions where all seeds have them, else from the scores alone."""
    scores = [record.score['value'] for record in seeds]
    if seeds[0].published:
        return Measured(Interval(float(np.mean(scores)), math.nan, math.nan, len(seeds), 0, 'published, no interval'))
    metric = METRICS.get(seeds[0].score['metric'])
    if metric is None:
        return Measured(interval_over_seeds(scores))
    limits = (0, 100) if metric.unit == 'percent' else (0, math.inf)
    if metric.per_video is None and metric.resampled is None:
        return Measured(interval_over_seeds(scores, limits=limits))
    found = [p for p in predictions if p is not None]
    if len(found) == len(seeds) and all(np.array_equal(p.video, found[0].video) for p in found):
        return _measure_answers(found, metric, limits)
    if gives_shares(metric):
        return Measured(interval_from_scores(scores, min(record.dataset['num_scored'] for record in seeds)))
    return Measured(interval_over_seeds(scores, limits=limits))


def _measure_answers(found: Sequence[Predictions], metric: Metric, limits: tuple[float, float]) -> Measured:
    """Interval of a row whose seeds all predicted the same videos."""
    videos = found[0].video
    if gives_shares(metric):
        right, within = shares(found, metric), strata(found, metric)
        scores, _ = share_covariance(np.stack(right).astype(float), within)
        answers = Answers(videos, metric, 100 * scores, _small(right), None if within is None else within.label)
        return _measure_shares(right, within)._replace(answers=answers)
    sides = scorers(found, metric)
    if len(videos) == 1:
        return Measured(bootstrap_interval(sides, 1, limits=limits))
    rounds = rescored(sides, len(videos))
    means = [side.values for side in sides if isinstance(side, MeanScorer)]
    answers = Answers(videos, metric, scores_of(sides, len(videos)), _small(means) if means else None, rounds=rounds)
    return _measure_by_bootstrap(sides, len(videos), limits, rounds)._replace(answers=answers)


def _measure_shares(right: list[np.ndarray], strata: Strata | None) -> Measured:
    alone = interval(right, strata=strata)
    if len(right) == 1:
        return Measured(alone)
    return Measured(alone, share_spread(right, strata), lambda pool: interval(right, strata=strata, pooled=pool))


def _measure_by_bootstrap(
    scorers: list[Scorer], num_videos: int, limits: tuple[float, float], rounds: np.ndarray
) -> Measured:
    def with_pool(pool: Pool | None) -> Interval:
        return bootstrap_interval(scorers, num_videos, limits=limits, pooled=pool, rounds=rounds)

    if len(scorers) == 1:
        return Measured(with_pool(None))
    return Measured(with_pool(None), bootstrap_spread(scorers, num_videos, rounds, limits), with_pool)


def _small(values: Sequence[np.ndarray]) -> np.ndarray:
    """(S, N) in the smallest type that holds them."""
    stacked = np.stack(values)
    return stacked.astype(bool) if ((stacked == 0) | (stacked == 1)).all() else stacked


def gives_shares(metric: Metric) -> bool:
    """Whether the score is a share of right answers: in percent, and a mean over videos."""
    return metric.per_video is not None and metric.unit == 'percent'


def shares(predictions: Sequence[Predictions], metric: Metric) -> list[np.ndarray]:
    """What was right in each video: one (N,) array per seed. Only for a metric with `per_video`."""
    assert metric.per_video is not None
    return [metric.per_video(p.scores, p.label) for p in predictions]


def strata(predictions: Sequence[Predictions], metric: Metric) -> Strata | None:
    """Class and weight of each video for a mean over classes; None for a plain mean. All seeds have the same videos."""
    label = predictions[0].label
    return None if metric.weights is None else Strata(label, metric.weights(label))


def scorers(predictions: Sequence[Predictions], metric: Metric) -> list[Scorer]:
    """One function per seed from weights of the videos to scores. Only for a metric with `per_video` or `resampled`."""
    if metric.resampled is not None:
        return [metric.resampled(p.scores, p.label) for p in predictions]
    return [mean_scorer(values) for values in shares(predictions, metric)]
