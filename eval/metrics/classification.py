"""Metrics of single-label classification, in percent. Shape letters: N videos, C classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def top_k_correct(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """For each video, whether the true class is among the k best.

    A class that ties with the true one counts as better: the rank is the number of *other* classes with a greater or
    equal score. So the order of the classes never matters, and a model that gives all classes the same score is never
    right; with argmax it would be right wherever the label is 0.

    Args:
        scores: (N, C).
        labels: (N,) from 0 to C - 1.
        k: 1 or more.

    Returns:
        (N,) bool.

    Raises:
        ValueError: if scores are not finite, labels are out of range, or shapes do not match.
    """
    scores, labels = _checked(scores, labels)
    if k < 1:
        raise ValueError(f'top-{k} accuracy was asked for, but k starts at 1')
    true_scores = scores[np.arange(len(labels)), labels]
    rank = (scores >= true_scores[:, None]).sum(axis=1) - 1  # the true class equals itself
    return rank < k


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Percent of videos whose true class is among the k best, with ties as in `top_k_correct`."""
    return 100 * float(top_k_correct(scores, labels, k).mean())


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Plain mean over classes of the top-1 accuracy within each class, in percent.

    Classes without a video do not count. Ties as in `top_k_correct`.
    """
    correct = top_k_correct(scores, labels)
    return 100 * float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def mean_class_prefix(scores: np.ndarray, labels: np.ndarray) -> float:
    """What SIGMA's published evaluation prints as mean per class: a mean of prefix accuracies, in percent.

    Its `merge_mean_per_class` never clears the list of samples between classes, so the value of class c is the accuracy
    over all videos of classes 0 to c. Use it only to reproduce numbers of that code: early classes weigh more, and the
    result depends on the order of the classes.

    Source: SIGMA's code at 9876f092; SMILE's and TrackMAE's reset the list.
    """
    correct, labels = top_k_correct(scores, labels), np.asarray(labels)
    return 100 * float(np.mean([correct[labels <= label].mean() for label in np.unique(labels)]))


def mean_class_shares(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) shares whose mean is the mean class accuracy, and whose variance / N is its sampling variance."""
    counts = np.unique(labels, return_counts=True)[1]
    return _shares(scores, labels, 1 / (len(counts) * counts))


def mean_class_prefix_shares(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Like `mean_class_shares`, for `mean_class_prefix`."""
    counts = np.unique(labels, return_counts=True)[1]
    # A video of class c is in all prefixes that end at c or later; each weighs 1 / (its number of videos).
    tails = np.cumsum((1 / np.cumsum(counts))[::-1])[::-1]
    return _shares(scores, labels, tails / len(counts))


def _shares(scores: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(N,) shares of a score that is the sum over videos of the `weight` of their class, times correct.

    Videos are sampled within classes. With n_c videos of accuracy a_c, the score sum_c w_c n_c a_c has the variance
    sum_c w_c^2 n_c a_c (1 - a_c), which is that of the mean of score + N w (correct - a_c).
    """
    correct = top_k_correct(scores, labels)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    accuracy = np.bincount(inverse, weights=correct) / counts  # (C,)
    score = float((weight * counts * accuracy).sum())
    return score + len(correct) * weight[inverse] * (correct - accuracy[inverse])


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.ndim != 1 or len(scores) != len(labels):
        raise ValueError(f'scores have shape {scores.shape} and labels {labels.shape}; need (N, C) and (N,)')
    if len(labels) == 0:
        raise ValueError('no video was scored, so there is no accuracy')
    if labels.dtype.kind not in 'iu':
        raise ValueError(f'labels are {labels.dtype}, need whole numbers')
    refuse_infinite(scores)
    outside = (labels < 0) | (labels >= scores.shape[1])
    if outside.any():
        row, top = int(outside.argmax()), scores.shape[1] - 1
        raise ValueError(f'label {labels[row]} of row {row} is outside 0 to {top}, the classes that have scores')
    return scores, labels


def refuse_infinite(scores: np.ndarray) -> None:
    """Raises ValueError if a score is not a finite number; names the first row."""
    broken = ~np.isfinite(scores).all(axis=1)
    if broken.any():
        first = int(broken.argmax())
        raise ValueError(
            f'{int(broken.sum())} of {len(scores)} videos have a score that is not finite, first row {first}'
        )
