"""How much better one row of a column is than another, and which row is clearly the best. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.metrics import METRICS, Predictions
from eval.report.measured import gives_shares, scorers, shares, strata
from eval.report.p_values import holm
from eval.report.statistics import (
    MIN_VIDEOS,
    Difference,
    bootstrap_difference,
    is_clear,
    paired_difference,
)
from eval.report.variances import Strata

if TYPE_CHECKING:
    from eval.report.table import Column, Table, TableCell


def clear_best(table: Table, column: Column) -> str | None:
    """The row that is clearly better than every other measured row of the column, and above all published numbers.

    Clear means as for a verdict, with Holm's correction over the comparisons with the best. None where the best is not
    known: rows that tie, one row alone, no predictions, or a mean of several columns. Computed once per table.
    """
    if column.key not in table.clear:
        table.clear[column.key] = _clear_best(table, column)
    return table.clear[column.key]


def _clear_best(table: Table, column: Column) -> str | None:
    counted = column.counted
    measured = {row: cell for row, cell in counted.items() if not cell.published}
    first = [row for row, cell in counted.items() if cell.interval.mean == column.best]
    if column.is_summary or len(measured) < 2 or len(first) != 1 or first[0] not in measured:
        return None
    best = first[0]
    sign = -1 if column.higher_is_better else 1
    others = sorted((row for row in measured if row != best), key=lambda row: sign * measured[row].interval.mean)
    found = []
    for row in others:  # the nearest first, since one that is not clear is enough
        each = difference(table, column, measured[best], measured[row])
        if not isinstance(each, Difference) or not is_clear(each, each.p):
            return None
        found.append(each)
    return best if all(map(is_clear, found, holm([each.p for each in found]))) else None


def difference(table: Table, column: Column, cell: TableCell, base: TableCell | None) -> Difference | int | None:
    """The difference; the number of common videos if they are too few; None if it is unknown. Kept with the table."""
    if base is None:
        return None
    key = ('difference', column.key, id(cell), id(base))  # the table keeps its cells, so ids stay
    if key not in table.found:
        table.found[key] = _difference(table, column, cell, base)
    return table.found[key]


def _difference(table: Table, column: Column, cell: TableCell, base: TableCell) -> Difference | int | None:
    metric = METRICS.get(column.metric)
    if metric is None or (metric.per_video is None and metric.resampled is None) or cell.left_out or base.left_out:
        return None
    # Seeds of one number share the few-shot draw and nothing else that matters.
    paired = column.subset is not None and [r.seed for r in cell.records] == [r.seed for r in base.records]
    if (found := _of_answers(table, column, cell, base, paired)) is not None:
        return found
    sides: list[list[Predictions]] = []
    for side in (cell, base):
        stored = [table.predictions(record) for record in side.records]
        sides.append([predictions for predictions in stored if predictions is not None])
        if len(sides[-1]) < len(stored):
            return None
    common = sorted(set.intersection(*(set(p.video.tolist()) for side in sides for p in side)))
    if len(common) < MIN_VIDEOS:
        return len(common)
    keep = [[Predictions(*(part[np.isin(p.video, common)] for part in p)) for p in side] for side in sides]
    if not column.higher_is_better:
        keep.reverse()
    if gives_shares(metric):
        ours, theirs = (shares(side, metric) for side in keep)
        return paired_difference(ours, theirs, paired_seeds=paired, strata=strata(keep[0], metric))
    return bootstrap_difference(scorers(keep[0], metric), scorers(keep[1], metric), len(common), paired_seeds=paired)


def _of_answers(
    table: Table, column: Column, cell: TableCell, base: TableCell, paired: bool
) -> Difference | int | None:
    """The difference of two rows that scored the same videos, from what the table keeps of their predictions.

    None if they scored other videos, or if the score is not a share.
    """
    rows = {id(each): row for row, each in column.cells.items()}
    sides = [table.answers.get((column.key, rows.get(id(each), ''))) for each in (cell, base)]
    ours, theirs = sides
    if ours is None or theirs is None or ours.draws is not None or ours.values is None or theirs.values is None:
        return None
    if ours.videos is not theirs.videos and not np.array_equal(ours.videos, theirs.videos):
        return None
    if len(ours.videos) < MIN_VIDEOS:
        return len(ours.videos)
    weights = ours.metric.weights
    within = None if weights is None or ours.labels is None else Strata(ours.labels, weights(ours.labels))
    first, second = (ours, theirs) if column.higher_is_better else (theirs, ours)
    assert first.values is not None
    assert second.values is not None
    return paired_difference(list(first.values), list(second.values), paired_seeds=paired, strata=within)
