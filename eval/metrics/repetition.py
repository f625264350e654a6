"""Errors of repetition counts. Shape letters: N videos.

Predicted counts are stored as they came, as floats. SEVERE's counts are whole numbers (its count is a rounded
one), so every metric here rounds the prediction first, halves upwards; `count_error_transrac` alone does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from eval.metrics.classification import refuse_infinite


def rounded_counts(scores: np.ndarray) -> np.ndarray:
    """Whole counts; halves go up, where numpy would send 2.5 to 2 and 3.5 to 4."""
    return np.floor(np.asarray(scores, dtype=float) + 0.5)


def count_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) errors relative to the true count, with sign: (predicted - true) / true.

    Args:
        scores: (N, 1) predicted counts.
        labels: (N,) true counts, 1 or more.

    Raises:
        ValueError: on counts that are not finite, true counts below 1, or shapes that do not fit.

    Source: SEVERE (ECCV 2022): its error is the mean of abs(predicted - true) / true. TransRAC divides by the
    true count + 0.1 (`transrac_errors`).
    """
    predicted, true = _checked(scores, labels)
    return (rounded_counts(predicted) - true) / true


def absolute_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) `count_errors` without their sign."""
    return np.abs(count_errors(scores, labels))


def over_counts(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) errors of videos that were counted too high, 0 for the others: with `under_counts` they add up."""
    return np.maximum(count_errors(scores, labels), 0)


def under_counts(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) errors of videos that were counted too low, without their sign; 0 for the others."""
    return np.maximum(-count_errors(scores, labels), 0)


def off_by_one(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) whether the count is wrong by one at most."""
    predicted, true = _checked(scores, labels)
    return np.abs(rounded_counts(predicted) - true) <= 1


def transrac_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) abs(predicted - true) / (true + 0.1), predictions not rounded: the error of the density-map family."""
    predicted, true = _checked(scores, labels)
    return np.abs(predicted - true) / (true + 0.1)


def best_constant_error(labels: np.ndarray) -> float:
    """`count_error` of the best single count for all videos, chosen with the answers at hand.

    No count that is chosen without them, such as the mean of the training videos, can be better: a score above
    this line has not been shown to have looked at the videos.
    """
    labels = np.asarray(labels)
    # The error is linear between the true counts, so the best constant is one of them.
    return min(float(absolute_errors(np.full((len(labels), 1), float(c)), labels).mean()) for c in np.unique(labels))


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(N,) predicted, (N,) true."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if labels.ndim != 1 or scores.shape != (len(labels), 1):
        raise ValueError(f'counts have shape {scores.shape} and labels {labels.shape}; wanted (N, 1) and (N,)')
    if len(labels) == 0:
        raise ValueError('no video was counted, so there is no error')
    if labels.dtype.kind not in 'iu':
        raise ValueError(f'labels are {labels.dtype}, wanted whole numbers')
    refuse_infinite(scores)
    if (labels < 1).any():
        row = int((labels < 1).argmax())
        raise ValueError(f'the true count of row {row} is {labels[row]}; an error relative to it needs 1 or more')
    return scores[:, 0].astype(float), labels
