"""Mean average precision of actions found in corrupted videos, in percent.

Predictions are `scores` (N, P, 5): start and end in seconds, class, score, and column of the sweep. Column 0 is clean,
the others are corruptions at their severities; there are K columns. Every video has a row in every column; if nothing
was found there, it is a padding row (class -1). Ground truth is `labels` (N, G, 3), the same for all columns, as in
`eval/metrics/localization.py`.

The relative metric divides by the clean mAP, which favours weak encoders, so it is always shown together with it.

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
    """(N, P, 5) float32 from N videos with K arrays (any, 4) each: start and end in seconds, class, score."""
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
    """(N, P, 4) segments of each column in turn, the clean one first; rows of other columns become padding.

    Raises:
        ValueError: if shapes are wrong, columns are not whole numbers from 0, or there is only the clean column.
    """
    scores = np.asarray(scores)
    if scores.ndim != 3 or scores.shape[-1] != 5:
        raise ValueError(
            f'segments of a sweep have shape {scores.shape}; need (N, P, 5), where the fifth is the column'
        )
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
        ValueError: if shapes are wrong, columns are not whole numbers from 0, or there is only the clean column.
    """
    return np.array([mean_average_precision(one, labels, tiou) for one in _by_column(scores)])


def clean(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """mAP on clean videos, decoded and resized in the same way."""
    return float(column_scores(scores, labels, tiou)[0])


def mean_corrupted(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """Mean mAP over the corrupted columns."""
    return float(column_scores(scores, labels, tiou)[1:].mean())


def resampled_mean_corrupted(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> Resampled:
    """A function from weights (N, B) to `mean_corrupted` of B resamples; a video keeps all of its columns."""
    # One column at a time, since each copy is as large as all predictions of the sweep.
    corrupted = itertools.islice(_by_column(scores), 1, None)
    columns = [resampled_mean_average_precision(one, labels, tiou) for one in corrupted]
    return lambda weights: np.mean([score(weights) for score in columns], axis=0)


def relative_corrupted(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """rPC: the mean as percent of the clean mAP; NaN if that is 0."""
    found = column_scores(scores, labels, tiou)
    return 100 * float(found[1:].mean() / found[0]) if found[0] else math.nan


def worst(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> float:
    """Lowest mAP of a corrupted column."""
    return float(column_scores(scores, labels, tiou)[1:].min())
