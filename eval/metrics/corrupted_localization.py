"""Mean average precision of actions found in damaged videos, in percent.

Predictions are `scores` (N, P, 5): start and end in seconds, class, score, and the column of the sweep: 0 is clean, 1
and more are the corruptions at their severities. Every video has a row in every column; where nothing was found it is
one that only fills up (class -1). Truth is `labels` (N, G, 3), the same for all columns, as in
`eval/metrics/localization.py`. K columns.

The relative figure divides by the clean mAP, which flatters weak encoders: it is never shown without it.

Source: THUMOS14-C and ActivityNet-v1.3-C (CVPR 2024) for mAP under each corruption; their mean, and its share of the
clean mAP, as mPC and rPC of Mini Kinetics-C.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from eval.metrics.localization import Resampled, mean_average_precision, resampled_mean_average_precision


def pack_columns(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """(N, P, 5) float32 from N videos, each K arrays (any, 4) of [start, end in seconds, class, score]."""
    videos = []
    for columns in rows:
        parts = [
            np.column_stack([found, np.full(len(found), number)]) if len(found) else _filler(number)
            for number, found in enumerate(columns)
        ]
        videos.append(np.concatenate(parts))
    packed = np.zeros((len(videos), max(map(len, videos), default=0), 5), dtype=np.float32)
    packed[..., 2] = -1
    for number, found in enumerate(videos):
        packed[number, : len(found)] = found
    return packed


def _filler(column: int) -> np.ndarray:
    return np.array([[0, 0, -1, 0, column]])


def _by_column(scores: np.ndarray) -> Iterator[np.ndarray]:
    """(N, P, 4) segments of every column, the clean one first; those of the others only fill up.

    Raises:
        ValueError: on other shapes, columns that are no whole numbers from 0, or no column but the clean one.
    """
    scores = np.asarray(scores)
    if scores.ndim != 3 or scores.shape[-1] != 5:
        raise ValueError(f'segments of a sweep have shape {scores.shape}; wanted (N, P, 5), the fifth is the column')
    place = scores[..., 4]
    if not np.isfinite(place).all() or (place < 0).any() or (place % 1).any():
        raise ValueError('a column of a sweep is no whole number from 0')
    num_columns = int(place.max(initial=0)) + 1
    if num_columns < 2:
        raise ValueError('the sweep has no column but the clean one')
    for column in range(num_columns):
        one = scores[..., :4].copy()
        one[place != column] = (0, 0, -1, 0)
        yield one


def column_scores(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> np.ndarray:
    """(K,) mAP of every column, the clean one first.

    Raises:
        ValueError: on other shapes, columns that are no whole numbers from 0, or no column but the clean one.
    """
    return np.array([mean_average_precision(one, labels, tiou) for one in _by_column(scores)])


def clean(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """mAP without corruption, through the same decoding and working size."""
    return float(column_scores(scores, labels, tiou)[0])


def mean_corrupted(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """Mean mAP over the corrupted columns."""
    return float(column_scores(scores, labels, tiou)[1:].mean())


def resampled_mean_corrupted(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> Resampled:
    """A function that gives `mean_corrupted` of resamples of the videos; a video takes all of its columns along."""
    # One at a time: each is as large as all predictions of the sweep.
    corrupted = itertools.islice(_by_column(scores), 1, None)
    columns = [resampled_mean_average_precision(one, labels, tiou) for one in corrupted]
    return lambda weights: np.mean([score(weights) for score in columns], axis=0)


def relative_corrupted(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """rPC: the mean as percent of the clean mAP; NaN where that is 0."""
    found = column_scores(scores, labels, tiou)
    return 100 * float(found[1:].mean() / found[0]) if found[0] else math.nan


def worst(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """Lowest mAP of a corrupted column."""
    return float(column_scores(scores, labels, tiou)[1:].min())
