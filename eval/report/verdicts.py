"""Who beat whom: each encoder against a baseline, paired over the videos that both scored. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from eval.metrics import METRICS, Predictions, load_predictions
from eval.records import Record, RecordError
from eval.report.statistics import Difference, bootstrap_difference, paired_difference
from eval.report.table import BASELINE, Column, TableCell, columns, gives_shares, rows, scorers, shares
from sigma.errors import did_you_mean


class Verdict(NamedTuple):
    """How an encoder stands to the baseline in one column; `difference` is None where it cannot be told."""

    column: str
    row: str
    difference: Difference | None  # positive is better than the baseline, whatever the metric's direction
    sentence: str


def verdict(records: Iterable[Record], baseline: str = BASELINE, allow_partial: bool = False) -> list[Verdict]:
    """Whether each encoder beat the baseline, by the paired difference on the videos that both scored.

    Raises:
        RecordError: as `columns`, or if no record is of the baseline.
    """
    table = columns(records, allow_partial)
    if baseline not in rows(table):
        raise RecordError(did_you_mean('baseline', baseline, rows(table)))
    found = []
    for column in table:
        for row in [row for row, cell in column.cells.items() if row != baseline and not cell.published]:
            difference = _difference(column, column.cells[row], column.cells.get(baseline))
            found.append(Verdict(column.name, row, difference, _sentence(column, row, baseline, difference)))
    return found


def _difference(column: Column, cell: TableCell, base: TableCell | None) -> Difference | None:
    metric = METRICS.get(column.metric)
    if base is None or metric is None or (metric.per_video is None and metric.resampled is None):
        return None
    if cell.left_out or base.left_out:
        return None
    sides = [[load_predictions(record) for record in side.records] for side in (cell, base)]
    if any(p is None for side in sides for p in side):
        return None
    common = sorted(set.intersection(*(set(p.video.tolist()) for side in sides for p in side)))
    if not common:
        return None
    keep = [[Predictions(*(part[np.isin(p.video, common)] for part in p)) for p in side] for side in sides]
    if not column.higher_is_better:
        keep.reverse()
    same_seeds = [r.seed for r in cell.records] == [r.seed for r in base.records]
    if gives_shares(metric):
        return paired_difference(*(shares(side, metric) for side in keep), paired_seeds=same_seeds)
    ours, theirs = (scorers(side, metric) for side in keep)
    return bootstrap_difference(ours, theirs, len(common), paired_seeds=same_seeds)


def _sentence(column: Column, row: str, baseline: str, difference: Difference | None) -> str:
    if difference is None:
        names = (name for name in (row, baseline) if name in column.cells and column.cells[name].left_out)
        if left_out := ' and '.join(names):
            return f'{column.name}: {row} against {baseline} is left out, since {left_out} scored too few videos'
        return f'{column.name}: {row} and {baseline} lack stored predictions of the same videos to compare'
    value, low, high = difference.difference, difference.low, difference.high
    weights = 'random weights' if baseline == BASELINE else baseline
    note = ' (with a single seed the spread of seeds is unknown)' if 'one seed' in difference.how else ''
    points = 'points' if column.unit == 'percent' else f'in {column.metric_label}'
    if low > 0:
        said = f'{row} beat {baseline} by {column.text(value)} {points} [{column.text(low)}, {column.text(high)}]'
    elif high < 0:
        ends = f'[{column.text(-high)}, {column.text(-low)}]'
        said = f'{row} fell below {baseline} by {column.text(-value)} {points} {ends}'
    else:
        ends = f'[{column.text(low)}, {column.text(high)}]'
        said = f'{row} is no better than {weights}: {column.text(value, "+")} {ends}'
    return f'{column.name}: {said}{note}'
