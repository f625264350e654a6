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
        k: Whole number, 1 or more.

    Returns:
        (N,) bool.

    Raises:
        ValueError: if scores are not finite numbers, labels are out of range, shapes do not match, or k is not a whole
            number from 1.
    """
    scores, labels = _checked(scores, labels)
    whole_number(k, f'top-{k} accuracy', 'k')
    true_scores = scores[np.arange(len(labels)), labels]
    counts = np.uint8 if scores.shape[1] < 256 else np.int64  # small counts add up faster
    rank = (scores >= true_scores[:, None]).sum(axis=1, dtype=counts)  # from 1: the true class equals itself
    return rank <= k


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Percent of videos whose true class is among the k best, with ties as in `top_k_correct`."""
    return 100 * float(top_k_correct(scores, labels, k).mean())


def commonest_share(labels: np.ndarray, k: int = 1) -> float:
    """Percent of videos in the k commonest classes: the accuracy of always giving the same k answers.

    Args:
        labels: (N,) whole numbers.
        k: Answers that are given, 1 or more.

    Raises:
        ValueError: if labels are not whole numbers of shape (N,), or there is none.
    """
    _, _, counts = _class_counts(labels)
    return 100 * float(np.sort(counts)[-k:].sum() / counts.sum())


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


def mean_class_weights(labels: np.ndarray) -> np.ndarray:
    """(N,) weight of each video in `mean_class_accuracy`: 1 / (C n) in a class of n videos, C classes. Sums to 1."""
    _, inverse, counts = _class_counts(labels)
    return 1 / (len(counts) * counts[inverse])


def mean_class_prefix_weights(labels: np.ndarray) -> np.ndarray:
    """Like `mean_class_weights`, for `mean_class_prefix`."""
    _, inverse, counts = _class_counts(labels)
    # A video of class c is in all prefixes that end at c or later; each weighs 1 / (its number of videos).
    tails = np.cumsum((1 / np.cumsum(counts))[::-1])[::-1]
    return tails[inverse] / len(counts)


def _class_counts(labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes with a video, the index of each video's class among them, and their numbers of videos."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in 'iu':
        raise ValueError(f'labels are {labels.dtype} of shape {labels.shape}; need whole numbers, one per video')
    return np.unique(labels, return_inverse=True, return_counts=True)


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
    """Raises ValueError if (N, C) scores are not signed numbers, or one is not finite; names the first row.

    Unsigned scores are refused since their negative wraps: -1 becomes the highest of all.
    """
    if scores.dtype.kind not in 'if':
        raise ValueError(f'scores are {scores.dtype}; need floats, or whole numbers with a sign')
    with np.errstate(all='ignore'):  # NaN and infinity stay in a sum, and it takes a third of the time
        if np.isfinite(scores.sum()):
            return
    broken = ~np.isfinite(scores).all(axis=1)
    if broken.any():
        first = int(broken.argmax())
        raise ValueError(
            f'{int(broken.sum())} of {len(scores)} videos have a score that is not finite, first row {first}'
        )


def whole_number(value: object, asked: str, name: str) -> int:
    """The value, if it is a whole number from 1; else ValueError in a sentence that begins with `asked`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f'{asked} was asked for, but {name} starts at 1 and is a whole number')
    return int(value)
