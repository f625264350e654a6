"""Records under another metric than their own, from what is stored beside them: `--metric mean_class`. No torch."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

from eval.metrics import METRICS, Metric, get_metric, load_predictions, score_predictions
from eval.records import Record, RecordError


def under_metric(records: Iterable[Record], name: str) -> list[Record]:
    """These records with another primary metric; files do not change.

    A score comes from the record's other metrics, else from its predictions. Records with other labels (as of counts)
    keep their own metric, and so do those with too few classes for it. Published numbers that do not state it are left
    out.

    Args:
        records: Any records.
        name: Name of a metric (eval/metrics/metric.py).

    Raises:
        SigmaError: if no metric has that name.
        RecordError: if it suits no record, or a record has neither that score nor predictions.
    """
    metric = get_metric(name)
    records = list(records)
    if not any(_suits(record, metric) for record in records):
        few = f' and {metric.min_classes} classes or more' if metric.min_classes > 1 else ''
        raise RecordError(f'no record has the {metric.task} labels{few} that {name} needs')
    found = [_under(record, metric) if _suits(record, metric) else record for record in records]
    return [record for record in found if record is not None]


def _suits(record: Record, metric: Metric) -> bool:
    own = METRICS.get(record.score['metric'])
    return own is not None and own.task == metric.task and (record.dataset['num_classes'] or 1e9) >= metric.min_classes


def _under(record: Record, metric: Metric) -> Record | None:
    """The record with that metric first; None for a published number without it."""
    own = record.score
    if own['metric'] == metric.name:
        return record
    others = dict(own['others'] or {})
    value = others.pop(metric.name, None)
    if value is None:
        if record.published:
            return None
        predictions = load_predictions(record)
        if predictions is None:
            raise RecordError(f'{record.path or record.name}: has no {metric.name} and no predictions to compute it')
        value = score_predictions(predictions, metric.name)
    score = {
        'metric': metric.name,
        'value': float(value),
        'unit': metric.unit,
        'higher_is_better': metric.higher_is_better,
        'others': {own['metric']: own['value'], **others},
    }
    return replace(copy.copy(record), score=score)
