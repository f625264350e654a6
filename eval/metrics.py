"""Metrics from stored per-video predictions, and the file that stores them. numpy alone: no GPU, no torch.

Shape letters: N videos, C classes. Scores of metrics are percent (0 to 100).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.records import Record, RecordError, did_you_mean, predictions_path, sha256_file, write_atomic

# A score computed again may differ from the stored one by the last digits of its floats.
RESCORE_TOLERANCE = 1e-3


class Predictions(NamedTuple):
    """What an encoder said of each video of a list."""

    video: np.ndarray  # (N,) str, each once
    label: np.ndarray  # (N,) int64, the truth
    scores: np.ndarray  # (N, C) float32, higher is more likely; any scale


def top_k_correct(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Whether the true class is among the k best, a video.

    A class that ties with the true one counts as better: the rank is the number of *other* classes whose
    score is greater or equal. So the order of the classes never decides, and a model that gives every class
    the same score is right nowhere instead of wherever the label is 0, as argmax would have it.

    Args:
        scores: (N, C).
        labels: (N,) from 0 to C - 1.
        k: 1 or more.

    Returns:
        (N,) bool.

    Raises:
        ValueError: on scores that are not finite, labels out of range, or shapes that do not fit.
    """
    scores, labels = _checked(scores, labels)
    if k < 1:
        raise ValueError(f'top-{k} accuracy was asked; k starts at 1')
    true_scores = scores[np.arange(len(labels)), labels]
    rank = (scores >= true_scores[:, None]).sum(axis=1) - 1  # the true class equals itself
    return rank < k


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Percent of videos whose true class is among the k best; ties as in `top_k_correct`."""
    return 100 * float(top_k_correct(scores, labels, k).mean())


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 accuracy of each class of the ground truth on its own, then their plain mean, in percent.

    Classes without a video are left out. Ties as in `top_k_correct`.
    """
    correct = top_k_correct(scores, labels)
    return 100 * float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def _mean_class_per_video(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) values whose mean is the mean class accuracy and whose variance / N is its sampling variance.

    With C classes of n_c videos and accuracy a_c, the weight of a video is w = N / (C n_c). The variance of
    mean_c(a_c) is sum_c var_c / (C^2 n_c), which is that of the mean of accuracy + w (correct - a_c).
    """
    correct = top_k_correct(scores, labels)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    accuracy = np.bincount(inverse, weights=correct) / counts  # (C,)
    weight = len(labels) / (len(counts) * counts)  # (C,)
    return accuracy.mean() + weight[inverse] * (correct - accuracy[inverse])


@dataclass(frozen=True)
class Metric:
    """A metric of single-label classification."""

    label: str  # as an axis shows it
    # scores (N, C), labels (N,) -> score
    function: Callable[[np.ndarray, np.ndarray], float]
    # the same -> (N,) shares whose mean times 100 is the score, and whose spread is its error over videos
    per_video: Callable[[np.ndarray, np.ndarray], np.ndarray]
    # number of classes -> score of a uniform guess
    chance: Callable[[int], float]
    unit: str = 'percent'
    higher_is_better: bool = True


METRICS = {
    'top1': Metric(
        label='top-1 accuracy',
        function=top_k_accuracy,
        per_video=top_k_correct,
        chance=lambda num_classes: 100 / num_classes,
    ),
    'top5': Metric(
        label='top-5 accuracy',
        function=lambda scores, labels: top_k_accuracy(scores, labels, k=5),
        per_video=lambda scores, labels: top_k_correct(scores, labels, k=5),
        chance=lambda num_classes: 100 * min(5, num_classes) / num_classes,
    ),
    'mean_class': Metric(
        label='mean class accuracy',
        function=mean_class_accuracy,
        per_video=_mean_class_per_video,
        chance=lambda num_classes: 100 / num_classes,
    ),
}


def get_metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ValueError: with the nearest name.
    """
    if name not in METRICS:
        raise ValueError(did_you_mean('metric', name, METRICS))
    return METRICS[name]


def score_predictions(predictions: Predictions, metric: str) -> float:
    """Score of stored predictions under a metric of `METRICS`."""
    return get_metric(metric).function(predictions.scores, predictions.label)


def write_predictions(path: str | Path, video, label, scores) -> Path:
    """Writes predictions as .npz, whole or not at all; the same predictions give the same bytes.

    Args:
        path: `eval.records.predictions_path` of the record.
        video: (N,) names, each once.
        label: (N,) true classes.
        scores: (N, C), finite.

    Raises:
        ValueError: if they do not fit each other, or would not give a score.
    """
    predictions = _predictions(np.asarray(video, dtype=np.str_), np.asarray(label), np.asarray(scores))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **predictions._asdict())
    return write_atomic(path, buffer.getvalue())


def read_predictions(path: str | Path) -> Predictions:
    """Reads what `write_predictions` wrote; nothing pickled is opened.

    Raises:
        ValueError: if the file is damaged or holds something else; names it.
        OSError: if it is absent.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _predictions(*(arrays[key] for key in Predictions._fields))
    except (ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path}: no predictions to be read: {error}') from error


def load_predictions(record: Record) -> Predictions | None:
    """Predictions stored beside a record, sorted by video; None where there are none.

    Raises:
        RecordError: if they do not read, are not those of this record, or give another score than it holds.
    """
    if record.path is None or not (path := predictions_path(record.path)).exists():
        return None
    stored = record.predictions_sha256
    if stored is not None and stored != sha256_file(path):
        raise RecordError(f'{path}: not the predictions that its record was written with; run the cell again')
    metric, value = record.score['metric'], record.score['value']
    try:
        predictions = read_predictions(path)
        score = score_predictions(predictions, metric) if metric in METRICS else value
    except ValueError as error:
        raise RecordError(str(error)) from error
    if abs(score - value) > RESCORE_TOLERANCE:
        raise RecordError(f'{path}: gives {metric} {score:.3f}, its record says {value:.3f}; run the cell again')
    order = np.argsort(predictions.video)
    return Predictions(*(array[order] for array in predictions))


def _predictions(video: np.ndarray, label: np.ndarray, scores: np.ndarray) -> Predictions:
    scores, label = _checked(scores, label)
    if video.dtype.kind != 'U' or video.shape != label.shape:
        raise ValueError(f'{len(label)} labels, but video names are {video.dtype} of shape {video.shape}')
    names, counts = np.unique(video, return_counts=True)
    if len(names) < len(video):
        raise ValueError(f'{names[counts.argmax()]} is there {counts.max()} times; each video is scored once')
    return Predictions(video, label.astype(np.int64), scores.astype(np.float32))


def _checked(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.ndim != 1 or len(scores) != len(labels):
        raise ValueError(f'scores have shape {scores.shape} and labels {labels.shape}; wanted (N, C) and (N,)')
    if len(labels) == 0:
        raise ValueError('no video was scored, so there is no accuracy')
    if labels.dtype.kind not in 'iu':
        raise ValueError(f'labels are {labels.dtype}, wanted whole numbers')
    broken = ~np.isfinite(scores).all(axis=1)
    if broken.any():
        first = int(broken.argmax())
        raise ValueError(
            f'{int(broken.sum())} of {len(scores)} videos have a score that is not finite, first row {first}'
        )
    outside = (labels < 0) | (labels >= scores.shape[1])
    if outside.any():
        row, top = int(outside.argmax()), scores.shape[1] - 1
        raise ValueError(f'label {labels[row]} of row {row} is outside 0 to {top}, the classes that scores speak of')
    return scores, labels
