"""The file of per-video predictions beside a record: write it, read it, check it against the record.

Shape letters: N videos, C classes.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from eval.metrics.classification import refuse_infinite
from eval.metrics.localization import check_segments
from eval.metrics.metric import METRICS, get_metric, score_predictions
from eval.metrics.npz import read_arrays
from eval.records import Record, RecordError, predictions_path
from sigma.files import sha256_file, write_atomic

# A recomputed score may differ from the stored one in its last digits.
RESCORE_TOLERANCE = 1e-3  # percent; a hundredth of that in other units


class Predictions(NamedTuple):
    """What an encoder predicted for each video of a list."""

    video: np.ndarray  # (N,) str, each once
    # ground truth: (N,) int64 classes or counts, (N, C) bool for several classes at once, or (N, G, 3) float64 segments
    label: np.ndarray
    # (N, C) float32, higher is more likely, on any scale; (N, 1) predicted counts; or (N, P, 4) predicted segments, in
    # a sweep (N, P, 5) with their column
    scores: np.ndarray


def rescore_tolerance(metric: str) -> float:
    """How much a recomputed score may differ from the stored one, in its unit."""
    return RESCORE_TOLERANCE if get_metric(metric).unit == 'percent' else RESCORE_TOLERANCE / 100


def write_predictions(path: str | Path, video: ArrayLike, label: ArrayLike, scores: ArrayLike) -> Path:
    """Writes predictions as .npz, whole or not at all. The same predictions give the same bytes.

    Args:
        path: `eval.records.predictions_path` of the record.
        video: (N,) names, each once.
        label: As in `Predictions`.
        scores: As in `Predictions`; finite.

    Raises:
        ValueError: if they do not match, or would give no score.
    """
    predictions = _predictions(np.asarray(video, dtype=np.str_), np.asarray(label), np.asarray(scores))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **predictions._asdict())
    return write_atomic(path, buffer.getvalue())


def read_predictions(path: str | Path) -> Predictions:
    """Reads what `write_predictions` wrote, without pickle.

    Raises:
        ValueError: if the file is damaged or holds something else; names the file.
        OSError: if it does not exist.
    """
    return _parse(Path(path).read_bytes(), path)


def _parse(data: bytes, path: str | Path) -> Predictions:
    """Predictions in the bytes of the file at `path`; raises as `read_predictions`."""
    try:
        return _predictions(*read_arrays(data, Predictions._fields))
    except (ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path}: no predictions to be read: {error}') from error


def load_predictions(record: Record) -> Predictions | None:
    """Predictions stored beside a record, sorted by video; None if there are none.

    Raises:
        RecordError: if they cannot be read, are not those of this record, or give another score than the record.
    """
    if record.path is None or not (path := predictions_path(record.path)).exists():
        return None
    data = path.read_bytes()
    if record.predictions_sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise RecordError(f'{path}: not the predictions that its record was written with; run the cell again')
    metric, value = record.score['metric'], record.score['value']
    try:
        predictions = _parse(data, path)
        score = score_predictions(predictions, metric) if metric in METRICS else value
    except ValueError as error:
        raise RecordError(str(error)) from error
    if metric in METRICS and abs(score - value) > rescore_tolerance(metric):
        raise RecordError(f'{path}: gives {metric} {score:.3f}, its record says {value:.3f}; run the cell again')
    if _ascends(predictions.video):
        return predictions
    order = np.argsort(predictions.video)
    return Predictions(*(array[order] for array in predictions))


def checked_predictions(record: Record) -> Predictions:
    """Predictions of a record.

    Raises:
        ValueError: if they are missing or damaged, or their hash or number of videos differs from the record's.
    """
    if record.path is None or not (path := predictions_path(record.path)).is_file():
        raise ValueError('no predictions')
    if record.predictions_sha256 not in (None, sha256_file(path)):
        raise ValueError('not the predictions that the record was written with')
    predictions = read_predictions(path)
    if len(predictions.label) != record.dataset['num_scored']:
        raise ValueError(f'{len(predictions.label)} predictions, the record says {record.dataset["num_scored"]}')
    return predictions


def _predictions(video: np.ndarray, label: np.ndarray, scores: np.ndarray) -> Predictions:
    if scores.ndim == 3 and len(scores) > 0:  # segments (eval/metrics/localization.py)
        check_segments(scores[..., :4], label)  # a fifth number is the column of a sweep
        _check_names(video, len(label))
        return Predictions(video, label.astype(np.float64), scores.astype(np.float32))
    if scores.ndim != 2 or len(scores) == 0 or len(label) != len(scores):
        raise ValueError(f'scores have shape {scores.shape} and labels {label.shape}; need one row per video')
    refuse_infinite(scores)
    several = label.dtype.kind == 'b'
    if label.shape != (scores.shape if several else scores.shape[:1]) or not (several or label.dtype.kind in 'iu'):
        raise ValueError(
            f'labels are {label.dtype} of shape {label.shape} for scores of shape {scores.shape}; need whole numbers '
            'of shape (N,), or bool of the shape of the scores'
        )
    if not several:
        # A single column may hold counts, which have no upper bound.
        outside = (label < 0) | ((label >= scores.shape[1]) & (scores.shape[1] > 1))
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(f'label {label[row]} of row {row} is outside 0 to {scores.shape[1] - 1}')
    _check_names(video, len(label))
    return Predictions(video, label if several else label.astype(np.int64), scores.astype(np.float32, copy=False))


def _ascends(video: np.ndarray) -> bool:
    """Whether names are sorted and each is there once, as most files have them; sorting takes five times as long."""
    return bool((video[1:] > video[:-1]).all())


def _check_names(video: np.ndarray, num_labels: int) -> None:
    if video.dtype.kind != 'U' or video.shape != (num_labels,):
        raise ValueError(f'{num_labels} labels, but video names are {video.dtype} of shape {video.shape}')
    if _ascends(video):
        return
    names, counts = np.unique(video, return_counts=True)
    if len(names) < len(video):
        raise ValueError(f'{names[counts.argmax()]} is there {counts.max()} times; each video must be there once')
