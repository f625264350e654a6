"""Errors of repetition counts. Shape letters: N videos.

Predicted counts are stored as floats, without rounding. SEVERE and TransRAC round their counts, so every metric here
rounds the prediction first, exact halves to the even number as both of them do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from eval.metrics.classification import refuse_infinite


def rounded_counts(scores: np.ndarray) -> np.ndarray:
    """Counts as whole numbers; exact halves go to the even one, as Python, NumPy and torch round.

    Raises:
        ValueError: if a count is not finite.
    """
    scores = np.asarray(scores, dtype=float)
    if not np.isfinite(scores).all():
        raise ValueError(f'{int((~np.isfinite(scores)).sum())} of {scores.size} counts are not finite')
    return np.rint(scores)


def count_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) signed errors relative to the true count: (predicted - true) / true.

    Args:
        scores: (N, 1) predicted counts.
        labels: (N,) true counts, 1 or more.

    Raises:
        ValueError: if counts are not finite, true counts are below 1, or shapes do not match.

    Source: SEVERE (ECCV 2022), whose error is the mean of abs(predicted - true) / true. TransRAC divides by the true
    count + 0.1 (`transrac_errors`).
    """
    predicted, true = _checked(scores, labels)
    return (rounded_counts(predicted) - true) / true


def absolute_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) `count_errors` without their sign."""
    return np.abs(count_errors(scores, labels))


def over_counts(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) errors of videos whose count is too high, 0 for the others; with `under_counts` they add up to the error.

    SEVERE logs another number (MAEP): the mean over only those videos whose count is too high.
    """
    return np.maximum(count_errors(scores, labels), 0)


def under_counts(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) absolute errors of videos whose count is too low; 0 for the others. SEVERE's MAEN leaves the others out."""
    return np.maximum(-count_errors(scores, labels), 0)


def off_by_one(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) whether the count is wrong by at most one."""
    predicted, true = _checked(scores, labels)
    return np.abs(rounded_counts(predicted) - true) <= 1


def transrac_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) abs(rounded predicted - true) / (true + 0.1): the error used for density-map methods.

    Source: the test script of TransRAC (CVPR 2022), which rounds the sum of the density before it compares. Its
    training script does not; that error chooses an epoch and is not the published number.
    """
    predicted, true = _checked(scores, labels)
    return np.abs(rounded_counts(predicted) - true) / (true + 0.1)


def best_constant_error(labels: np.ndarray) -> float:
    """`count_error` of the best constant count, chosen with knowledge of the test labels.

    No constant that is chosen without them, such as the mean of the training videos, can be better. So a larger error
    than this does not show that the encoder looked at the videos.

    Raises:
        ValueError: as `count_errors`.
    """
    labels = np.asarray(labels)
    _checked(np.ones((len(labels) if labels.ndim else 0, 1)), labels)
    # The error is linear between true counts, so the best constant is one of them.
    return min(float(absolute_errors(np.full((len(labels), 1), float(c)), labels).mean()) for c in np.unique(labels))


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(N,) predicted, (N,) true."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if labels.ndim != 1 or scores.shape != (len(labels), 1):
        raise ValueError(f'counts have shape {scores.shape} and labels {labels.shape}; need (N, 1) and (N,)')
    if len(labels) == 0:
        raise ValueError('no video was counted, so there is no error')
    if labels.dtype.kind not in 'iu':
        raise ValueError(f'labels are {labels.dtype}, need whole numbers')
    refuse_infinite(scores)
    if (labels < 1).any():
        row = int((labels < 1).argmax())
        raise ValueError(f'the true count of row {row} is {labels[row]}; a relative error needs 1 or more')
    return scores[:, 0].astype(float), labels
