"""What one row of a column measured: its interval, from predictions or from scores alone. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from eval.metrics import METRICS, Metric, Predictions
from eval.records import Record
from eval.report.statistics import (
    Interval,
    Scorer,
    bootstrap_interval,
    bootstrap_spread,
    interval,
    interval_from_scores,
    interval_over_seeds,
    mean_scorer,
    rescored,
    share_spread,
)
from eval.report.variances import Pool, Spread, Strata


class Measured(NamedTuple):
    """Interval of a row; and where seeds are several, how far they are apart and how to compute it with a pool."""

    interval: Interval
    spread: Spread | None = None
    pooled: Callable[[Pool], Interval] | None = None


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
        if gives_shares(metric):
            return _measure_shares(shares(found, metric), strata(found, metric))
        return _measure_by_bootstrap(scorers(found, metric), len(found[0].video), limits)
    if gives_shares(metric):
        return Measured(interval_from_scores(scores, min(record.dataset['num_scored'] for record in seeds)))
    return Measured(interval_over_seeds(scores, limits=limits))


def _measure_shares(right: list[np.ndarray], strata: Strata | None) -> Measured:
    alone = interval(right, strata=strata)
    if len(right) == 1:
        return Measured(alone)
    return Measured(alone, share_spread(right, strata), lambda pool: interval(right, strata=strata, pooled=pool))


def _measure_by_bootstrap(scorers: list[Scorer], num_videos: int, limits: tuple[float, float]) -> Measured:
    if len(scorers) == 1 or num_videos == 1:
        return Measured(bootstrap_interval(scorers, num_videos, limits=limits))
    draws = rescored(scorers, num_videos)

    def with_pool(pool: Pool | None) -> Interval:
        return bootstrap_interval(scorers, num_videos, limits=limits, pooled=pool, draws=draws)

    return Measured(with_pool(None), bootstrap_spread(scorers, num_videos, draws, limits), with_pool)


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
