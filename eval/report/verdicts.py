"""Which encoder beat the baseline, by paired differences over the videos that both scored. No torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eval.metrics import METRICS, Predictions
from eval.records import RecordError
from eval.report.statistics import Difference, bootstrap_difference, paired_difference
from eval.report.table import BASELINE, Column, Table, TableCell, gives_shares, scorers, shares
from sigma.errors import did_you_mean


class Verdict(NamedTuple):
    """How an encoder compares with the baseline in one column."""

    column: str
    row: str
    difference: Difference | None  # positive: better than the baseline, whatever the metric's direction; None: unknown
    sentence: str


def verdicts(table: Table, baseline: str = BASELINE) -> list[Verdict]:
    """Compares each measured row of each column with the baseline.

    Raises:
        RecordError: if no row is the baseline (with the nearest one).
    """
    if baseline not in table.rows:
        raise RecordError(did_you_mean('baseline', baseline, table.rows))
    found = []
    for column in table.measured:
        for row in [row for row, cell in column.cells.items() if row != baseline and not cell.published]:
            difference = _difference(table, column, column.cells[row], column.cells.get(baseline))
            found.append(Verdict(column.name, row, difference, _sentence(column, row, baseline, difference)))
    return found


def comparison(table: Table, baseline: str | None) -> list[str]:
    """The sentences of all verdicts, or one that says why nothing is compared.

    Args:
        table: The table.
        baseline: A row; None means random weights if they are there, else no comparison and no sentence.
    """
    name, rows = baseline or BASELINE, table.rows
    if name in rows:
        return [found.sentence for found in verdicts(table, name)]
    if recipes := [row for row in rows if row.startswith(f'{name} [')]:
        return [f'nothing is compared: {name} has one row per recipe; --baseline takes one of: {", ".join(recipes)}']
    return [f'nothing is compared: no row is called {name}; the rows are: {", ".join(rows)}'] if baseline else []


def _difference(table: Table, column: Column, cell: TableCell, base: TableCell | None) -> Difference | None:
    metric = METRICS.get(column.metric)
    if base is None or metric is None or (metric.per_video is None and metric.resampled is None):
        return None
    if cell.left_out or base.left_out:
        return None
    sides: list[list[Predictions]] = []
    for side in (cell, base):
        stored = [table.predictions(record) for record in side.records]
        sides.append([predictions for predictions in stored if predictions is not None])
        if len(sides[-1]) < len(stored):
            return None
    common = sorted(set.intersection(*(set(p.video.tolist()) for side in sides for p in side)))
    if not common:
        return None
    keep = [[Predictions(*(part[np.isin(p.video, common)] for part in p)) for p in side] for side in sides]
    if not column.higher_is_better:
        keep.reverse()
    same_seeds = [r.seed for r in cell.records] == [r.seed for r in base.records]
    if gives_shares(metric):
        return paired_difference(shares(keep[0], metric), shares(keep[1], metric), paired_seeds=same_seeds)
    ours, theirs = (scorers(side, metric) for side in keep)
    return bootstrap_difference(ours, theirs, len(common), paired_seeds=same_seeds)


def _sentence(column: Column, row: str, baseline: str, difference: Difference | None) -> str:
    if difference is None:
        names = (name for name in (row, baseline) if name in column.cells and column.cells[name].left_out)
        if left_out := ' and '.join(names):
            return f'{column.name}: {row} is not compared with {baseline}, because {left_out} scored too few videos'
        return f'{column.name}: {row} is not compared with {baseline}, for lack of predictions for the same videos'
    value, low, high = difference.difference, difference.low, difference.high
    weights = 'random weights' if baseline == BASELINE else baseline
    note = ' (one seed only, so the spread over seeds is unknown)' if 'one seed' in difference.how else ''
    points = 'points' if column.unit == 'percent' else f'in {column.metric_label}'
    if low > 0:
        said = f'{row} beat {baseline} by {column.text(value)} {points} [{column.text(low)}, {column.text(high)}]'
    elif high < 0:
        ends = f'[{column.text(-high)}, {column.text(-low)}]'
        said = f'{row} is worse than {baseline} by {column.text(-value)} {points} {ends}'
    else:
        ends = f'[{column.text(low)}, {column.text(high)}]'
        said = f'{row} shows no clear difference from {weights}: {column.text(value, "+")} {points} {ends}'
    return f'{column.name}: {said}{note}'
