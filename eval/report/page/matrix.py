"""The heat table of the page: one row per encoder, columns in the groups of the papers. No torch."""

from __future__ import annotations

import math
from typing import NamedTuple

from eval.report.differences import clear_best
from eval.report.page.parts import cell_id
from eval.report.table import Column, Table, TableCell


class Entry(NamedTuple):
    """One cell as shown."""

    id: str  # as in links
    number: int  # of its column
    value: str = ''  # with the digits of its unit; '' where nothing was measured
    interval: str = ''
    seeds: str = ''  # number of seeds; '' for a published number
    mark: str = ''
    heat: int = 0  # 0 (as good as chance, or worst) to 100 (best of the column)
    best: bool = False  # clearly better than all others
    published: bool = False
    missing: str = ''  # why there is no number: 'not measured', or what a mean lacks


class Line(NamedTuple):
    """A row of the heat table."""

    name: str
    published: bool
    entries: list[Entry]


class Head(NamedTuple):
    """A group of columns, with the numbers of its columns."""

    group: str
    numbers: list[int]


class Matrix(NamedTuple):
    """The heat table."""

    columns: list[Column]  # as shown: those of one group stand together
    heads: list[Head]
    lines: list[Line]
    chance: list[str]  # score without looking at the videos, by column


def matrix(table: Table) -> Matrix:
    """The heat table of all columns, the means last.

    Args:
        table: The results.
    """
    columns = in_groups(table.columns)
    heads: list[Head] = []
    for number, column in enumerate(columns):
        if heads and heads[-1].group == column.group:
            heads[-1].numbers.append(number)
        else:
            heads.append(Head(column.group, [number]))
    lines = []
    for row in table.rows:
        entries = [_entry(table, column, number, row) for number, column in enumerate(columns)]
        lines.append(Line(row, all(e.published for e in entries if e.value), entries))
    chance = [column.text(column.chance) if column.chance is not None else '' for column in columns]
    return Matrix(columns, heads, lines, chance)


def in_groups(columns: list[Column]) -> list[Column]:
    """Columns with those of one group next to each other, groups in the order of their first column, means last."""
    order = list(dict.fromkeys(column.group for column in columns if not column.is_summary))
    return sorted(columns, key=lambda c: len(order) if c.is_summary else order.index(c.group))


def _entry(table: Table, column: Column, number: int, row: str) -> Entry:
    cell = column.cells.get(row)
    if cell is None:
        lacks = column.lacks.get(row)
        return Entry(
            cell_id(row, column.name), number, missing=f'lacks {"; ".join(lacks)}' if lacks else 'not measured'
        )
    return Entry(
        cell_id(row, column.name),
        number,
        value=column.text(cell.interval.mean),
        interval=interval_text(column, cell),
        seeds='' if cell.published else cell.num_seeds,
        mark=cell.mark,
        heat=_heat(column, cell),
        best=clear_best(table, column) == row,
        published=cell.published,
    )


def interval_text(column: Column, cell: TableCell) -> str:
    """`80.1 to 86.0`, or '' where there is no interval."""
    low, high = cell.interval.low, cell.interval.high
    return '' if math.isnan(low) else f'{column.text(low)} to {column.text(high)}'


def _heat(column: Column, cell: TableCell) -> int:
    """Where a score lies between chance and the best of its column; without a chance, between worst and best."""
    means = [each.interval.mean for each in column.cells.values()]
    worst, best = (min(means), max(means)) if column.higher_is_better else (max(means), min(means))
    start = column.chance if column.chance is not None else worst
    if math.isclose(best, start) or (best > start) != column.higher_is_better:
        return 0
    return round(100 * min(1.0, max(0.0, (cell.interval.mean - start) / (best - start))))
