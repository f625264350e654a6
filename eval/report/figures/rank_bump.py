"""Bump chart: the rank of every encoder in each column, and who keeps it from column to column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from eval.report.aligned import align, short_name
from eval.report.figures import FigureError, captioned, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import INK, SMALL, columns_of, fitting, short_names, text_width, wrapped
from eval.report.figures._looks import looks
from eval.report.p_values import holm
from eval.report.pairs import p_of_pairs
from eval.report.ranks import average_ranks
from eval.report.statistics import ALPHA
from eval.report.table import Column, Table

ROW = 0.15  # inches between two ranks
LEAST = 0.27  # inches between two columns
POINTS = 6.5


def draw(table: Table, *, width: str = 'page') -> Figure:
    """The rank of each encoder in each column, 1 on top, and at the right the order of average ranks.

    Ranks are those of the mean scores, by the direction of each metric; equal scores share a rank. They have no
    interval: the caption says how many neighbours in rank differ by a test. A line has a gap where an encoder has no
    score, and its average is over the columns that it has.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if the width is unknown, or no column has two rows.
    """
    inches = width_inches(width)
    columns = [column for column in table.measured if len(_counted(column)) >= 2]
    if not columns:
        raise FigureError('No column has two encoders to rank; give records of two encoders or more.')
    ranks = [_ranks(column) for column in columns]
    rows = [row for row in table.every_row if any(row in of for of in ranks)]
    averages = {row: float(np.mean([of[row] for of in ranks if row in of])) for row in rows}
    order = sorted(rows, key=lambda row: averages[row])
    names = short_names(order, width)
    with style():
        figure = _draw(table, columns, ranks, order, names, inches)
    keys = {column.key for column in columns}
    part = columns_of(table, lambda column: column.key in keys)
    more = ['The right end is the order of average ranks', *_differ(table, columns)]
    if any(len(of) < len(rows) for of in ranks):
        more.append('A gap is a missing score, with fewer ranks in that column')
    says = 'Rank of each encoder in each column (1 is the best)'
    return captioned(figure, caption(part, says, names=names, more=more, interval=False))


def _counted(column: Column) -> list[str]:
    return [row for row, cell in column.cells.items() if not cell.left_out]


def _ranks(column: Column) -> dict[str, float]:
    """Row -> rank by its mean; 1 is the best."""
    rows = _counted(column)
    sign = 1 if column.higher_is_better else -1
    means = np.array([[sign * column.cells[row].interval.mean] for row in rows])
    return dict(zip(rows, average_ranks(means)[:, 0].tolist()))


def _draw(
    table: Table,
    columns: Sequence[Column],
    ranks: Sequence[dict[str, float]],
    order: Sequence[str],
    names: dict[str, str],
    inches: float,
) -> Figure:
    num, look = len(columns), looks(table)
    right = 1.04 * max(text_width(name, POINTS) for name in names.values()) + 0.14
    left = 0.32
    step = (inches - left - right) / num
    upright = step < 0.5
    labels = [short_name(table, column) for column in columns] + ['average']
    labels = [fitting(label, 1.1, SMALL) if upright else wrapped(label, step - 0.06, SMALL) for label in labels]
    head = max(text_width(label, SMALL) if upright else 0.1 * (label.count('\n') + 1) for label in labels) + 0.1
    height = head + ROW * len(order) + 0.08
    figure = Figure(figsize=(inches, height))
    axes = figure.add_axes((left / inches, 0.04 / height, (inches - left - right) / inches, ROW * len(order) / height))
    for place, row in enumerate(order, start=1):
        y = [of.get(row, np.nan) for of in ranks] + [place]
        axes.plot(range(num + 1), y, linewidth=1.1, markersize=3, clip_on=False, **look[row].line())
        axes.text(num + 0.08 / step, place, names[row], va='center', fontsize=POINTS, color=INK)
    axes.set_xlim(0, num)
    axes.set_ylim(len(order) + 0.5, 0.5)
    axes.set_xticks(range(num + 1), labels, fontsize=SMALL, rotation=90 if upright else 0, linespacing=1.0)
    axes.tick_params(axis='x', length=0, top=False, labeltop=True, bottom=False, labelbottom=False, pad=2)
    every = 1 if len(order) <= 10 else 5
    axes.set_yticks([1, *range(every if every > 1 else 2, len(order) + 1, every)])
    axes.tick_params(axis='y', length=0, labelsize=SMALL, pad=6)
    axes.set_ylabel('rank', fontsize=SMALL, labelpad=1)
    axes.grid(axis='x', color='#E4E4E4', linewidth=0.6)
    axes.spines[:].set_visible(False)
    return figure


def _differ(table: Table, columns: Sequence[Column]) -> list[str]:
    """How many neighbours in rank differ, with Holm's correction over the neighbours of each column."""
    num = differ = 0
    for column in columns:
        aligned = align(table, column)
        if aligned is None:
            continue
        order = np.argsort(aligned.means if not column.higher_is_better else -aligned.means, kind='stable')
        p = p_of_pairs(table, column)
        corrected = holm([float(p[i, j]) for i, j in zip(order, order[1:])])
        num, differ = num + len(corrected), differ + sum(each < ALPHA for each in corrected)
    return [f'{differ} of {num} neighbours in rank differ (p < {ALPHA:g} by Holm in each column)'] if num else []
