"""Scores of single classes, and which classes are taken for which. No torch.

Shape letters: N videos, C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eval.metrics import METRICS, Predictions
from eval.metrics.localization import ACTIVITYNET_TIOU, THUMOS_TIOU, average_precisions
from eval.metrics.multi_label import average_precision
from eval.report.page.places import class_names
from eval.report.stored import Answered
from eval.report.table import Column, Table, TableCell

MOST_CONFUSIONS = 12
FULL_MATRIX = 20  # up to this many classes the whole confusion matrix is shown


class PerClass(NamedTuple):
    """What a cell scored in each class."""

    scores: list[float | None]  # (C,) percent, mean over seeds; None: no test video of that class
    confusions: list[tuple[int, int, int]]  # (true, predicted, videos over all seeds), the commonest first
    matrix: list[int]  # (C * C,) videos over all seeds, true classes by line; [] where there are too many classes


def names_and_counts(table: Table, column: Column) -> dict[str, Any] | None:
    """What the per-class scores of a column are of: {score, names (C,), counts (C,)}; None where it has no classes."""
    metric = METRICS.get(column.metric)
    found = next((p for c in column.cells.values() for p in _stored(table, c)), None)
    if metric is None or found is None or metric.task not in ('action_recognition', 'multi_label', 'localization'):
        return None
    if metric.task == 'localization':
        number, label = column.num_classes or 0, found.label[..., 2][_true_segments(found.label)].astype(int)
        score, counted = 'average precision', 'true segments'
        if number < 1:
            return None
    else:
        number, counted = found.scores.shape[1], 'videos'
        label = np.nonzero(found.label)[1] if metric.task == 'multi_label' else found.label
        score = 'average precision' if metric.task == 'multi_label' else 'right'
    counts = np.bincount(label, minlength=number)
    names = class_names(column.dataset)
    names = names if len(names) == number else [f'class {i}' for i in range(number)]
    return {'score': score, 'counted': counted, 'names': names, 'counts': counts.tolist()}


def per_class(table: Table, column: Column, cell: TableCell) -> PerClass | None:
    """Scores by class of a cell; None without predictions, or where the column has no classes."""
    metric = METRICS.get(column.metric)
    if metric is None or cell.published or cell.parts:
        return None
    if metric.task == 'action_recognition':
        found = [answered for record in cell.records if (answered := table.answered(record)) is not None]
        return _of_one_label(found) if found else None
    stored = _stored(table, cell)
    if not stored:
        return None
    if metric.task == 'multi_label':
        each = [_precisions(predictions) for predictions in stored]
        return PerClass(_rounded(100 * np.mean(each, axis=0)), [], [])
    if metric.task == 'localization' and column.num_classes:
        return PerClass(_of_segments(stored, column), [], [])
    return None


def _stored(table: Table, cell: TableCell) -> list[Predictions]:
    if cell.published or cell.parts:
        return []
    return [p for record in cell.records if (p := table.predictions(record)) is not None]


def _of_one_label(stored: list[Answered]) -> PerClass:
    number = stored[0].num_classes
    matrix = np.zeros((number, number), dtype=int)
    shares = np.full((len(stored), number), np.nan)
    for seed, each in enumerate(stored):
        own = np.bincount(each.label * number + each.answer, minlength=number * number).reshape(number, number)
        videos = own.sum(axis=1)
        np.divide(own.diagonal(), videos, out=shares[seed], where=videos > 0)
        matrix += own
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    first = np.argsort(-wrong, axis=None, kind='stable')[:MOST_CONFUSIONS]
    confusions = [(int(i // number), int(i % number), int(wrong.flat[i])) for i in first if wrong.flat[i]]
    whole = matrix.ravel().tolist() if number <= FULL_MATRIX else []
    return PerClass(_rounded(100 * shares.mean(axis=0)), confusions, whole)


def _precisions(predictions: Predictions) -> list[float]:
    """(C,) average precision of each class, NaN where no video has it."""
    scores, label = predictions.scores, predictions.label
    return [
        average_precision(scores[:, c], label[:, c]) if label[:, c].any() else np.nan for c in range(scores.shape[1])
    ]


def _of_segments(stored: list[Predictions], column: Column) -> list[float | None]:
    """Average precision by class, over the thresholds of the column's metric."""
    tiou = THUMOS_TIOU if column.metric == 'map_30_70' else ACTIVITYNET_TIOU
    found = np.full((len(stored), column.num_classes or 0), np.nan)
    for seed, predictions in enumerate(stored):
        present = np.unique(predictions.label[..., 2][_true_segments(predictions.label)]).astype(int)
        found[seed, present] = 100 * average_precisions(predictions.scores, predictions.label, tiou).mean(axis=0)
    return _rounded(found.mean(axis=0))


def _true_segments(label: np.ndarray) -> np.ndarray:
    """(N, G) whether a place holds a true segment; the others fill up the array (eval/metrics/localization.py)."""
    return label[..., 2] >= 0


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 1) for value in values]
