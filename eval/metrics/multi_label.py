"""Mean average precision of multi-label predictions, in percent.

Shape letters: N videos, C classes, B resamples of the videos.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from eval.metrics.classification import refuse_infinite

# weights (N, B): how often each resample contains each video -> (B,) scores
Resampled = Callable[[np.ndarray], np.ndarray]


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the precision-recall steps of one class, from 0 to 1.

    The sum over distinct scores s, from the highest, of (recall at s - recall before) x precision at s. Videos with
    equal scores enter together, so their order does not matter. Equal to scikit-learn's `average_precision_score`.

    Args:
        scores: (N,), higher is more likely.
        positive: (N,) bool, at least one true.

    Raises:
        ValueError: if scores are unsigned or not finite, shapes do not match, or no video is positive.
    """
    scores, positive = np.asarray(scores), np.asarray(positive)
    if scores.ndim != 1 or positive.shape != scores.shape:
        raise ValueError(f'scores have shape {scores.shape} and labels {positive.shape}; need (N,) and (N,)')
    _checked(scores[:, None], positive[:, None])
    if not positive.any():
        raise ValueError(f'none of {len(positive)} videos is positive, so there is no average precision')
    return float(_average_precisions(scores, positive)(np.ones((len(scores), 1)))[0])


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the average precision over classes with a positive video, in percent.

    The other classes have no average precision and are skipped; `num_classes_counted` says how many count.

    Args:
        scores: (N, C), higher is more likely; only the order within a class matters.
        labels: (N, C) bool.

    Raises:
        ValueError: if scores are not finite, labels are not bool, shapes do not match, or no class has a positive.

    Source: SEVERE (ECCV 2022), its Charades evaluation.
    """
    scores, labels = _checked(scores, labels)
    return 100 * float(np.mean([average_precision(scores[:, c], labels[:, c]) for c in _counted(labels)]))


def num_classes_counted(scores: np.ndarray, labels: np.ndarray) -> int:
    """Number of classes with a positive video, over which `mean_average_precision` is a mean."""
    return len(_counted(_checked(scores, labels)[1]))


def resampled_mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> Resampled:
    """A function from weights (N, B) to the scores of B resamples of the videos, for a bootstrap.

    A class without a positive in a resample is skipped there. Copies of a video tie with each other, so a resample
    scores a little higher than new videos would (`eval.report.statistics.bootstrap_interval` corrects for that).
    """
    scores, labels = _checked(scores, labels)
    classes = [_average_precisions(scores[:, c], labels[:, c]) for c in _counted(labels)]

    def score(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid='ignore'):  # 0 / 0 of a class without a positive
            each = np.stack([of_class(weights) for of_class in classes])  # (C, B)
        return 100 * np.nanmean(each, axis=0)

    return score


def mean_prevalence(labels: np.ndarray) -> float:
    """Mean share of positives over the classes that count, in percent; a random order reaches it on many videos.

    Raises:
        ValueError: if labels are not bool of shape (N, C), or no class has a positive.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or len(labels) == 0 or labels.dtype.kind != 'b':
        raise ValueError(f'labels are {labels.dtype} of shape {labels.shape}; need bool of shape (N, C)')
    _counted(labels)
    share = labels.mean(axis=0)
    return 100 * float(share[share > 0].mean())


def _average_precisions(scores: np.ndarray, positive: np.ndarray) -> Resampled:
    """A function from weights (N, B) to the average precision of one class; sorts only once."""
    order = np.argsort(-scores.astype(np.float64), kind='stable')  # the negative of the lowest integer wraps
    scores, positive = scores[order], positive[order]
    group = np.concatenate([[0], np.cumsum(scores[1:] != scores[:-1])])  # (N,) group of videos with equal scores
    ends = np.append(np.flatnonzero(np.diff(group)), len(group) - 1)  # last position of each group
    where = np.flatnonzero(positive)
    # Recall rises only at groups with a positive, so only their precision matters.
    groups, first_of_group = np.unique(group[where], return_index=True)
    ends = ends[groups]
    starts = np.concatenate([[0], ends[:-1] + 1])

    def precision(weights: np.ndarray) -> np.ndarray:
        found = np.add.reduceat(weights[order[where]], first_of_group, axis=0)  # (G, B) positives per group
        taken = np.add.reduceat(weights[order[: ends[-1] + 1]], starts, axis=0).cumsum(axis=0)  # videos so far
        share = np.divide(found.cumsum(axis=0), taken, out=np.zeros(taken.shape), where=taken > 0)
        return (found * share).sum(axis=0) / found.sum(axis=0)

    return precision


def _counted(labels: np.ndarray) -> np.ndarray:
    found = np.flatnonzero(labels.any(axis=0))
    if len(found) == 0:
        raise ValueError('no class has a positive video, so there is no average precision')
    return found


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f'scores have shape {scores.shape} and labels {labels.shape}; need (N, C) and (N, C)')
    if len(labels) == 0:
        raise ValueError('no video was scored, so there is no average precision')
    if labels.dtype.kind != 'b':
        raise ValueError(f'labels are {labels.dtype}, need bool: whether each class is in the video')
    refuse_infinite(scores)
    return scores, labels
