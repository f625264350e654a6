"""Radar: the columns of the table as spokes, every encoder as an outline; the rim is the best of each column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from eval.report.figures import FigureError, captioned, looks, style, width_inches
from eval.report.figures._caption import caption, several
from eval.report.figures._heat import shade
from eval.report.figures._layout import (
    GREY,
    SMALL,
    arrow,
    columns_of,
    even_lines,
    fitting,
    legend,
    legend_lines,
    line_handles,
    rows_of,
    short_names,
    with_measured,
    wrapped,
)
from eval.report.figures._looks import Look
from eval.report.table import Column, Table

FEWEST_SPOKES, MOST_TOGETHER = 3, 4
INNER = 0.2  # radius of the worst; that of the best is 1
LIMIT = 1.06
SMALL_PANEL = {'page': 1.35, 'column': 0.84}  # inches


def draw(table: Table, *, width: str = 'page', every_column: bool = False) -> Figure:
    """The profile of every encoder over the columns of the table: the rim is the best mean, the inner ring the worst.

    Up to four encoders share one radar, with the names of the columns and both ends of each spoke. More have one small
    radar each, with numbered spokes. Where lower is better the spoke is turned, so outside is always better. An outline
    has a gap where a cell is missing. Means over columns are not drawn.

    Args:
        table: The results.
        width: `page` or `column`.
        every_column: Show columns that only published rows have, too.

    Raises:
        FigureError: if fewer than three columns hold two encoders, or the width is unknown.
    """
    inches = width_inches(width)
    part, dropped = with_measured(table, every_column)
    part = columns_of(part, lambda column: len(column.cells) > 1)
    if len(part.columns) < FEWEST_SPOKES:
        raise FigureError(
            f'A radar needs three columns with two encoders or more, and the records have {len(part.columns)}; give '
            'records of more protocols or datasets, such as those of --suite severe_toy'
        )
    rows, look = rows_of(part), looks(table)
    names = short_names(rows, width)
    with style():
        if len(rows) <= MOST_TOGETHER:
            figure = _together(part.columns, rows, names, look, inches)
        else:
            figure = _apart(part.columns, rows, names, look, inches, width)
    more = ['Each spoke runs from the worst (inner ring) to the best (rim) mean of its column; outside is better']
    ends = '; '.join(f'{column.label} {_ends(column)}' for column in part.columns)
    more.append(f'Ends of the spokes: {ends}')
    if lacking := [names[row] for row in rows if any(row not in column.cells for column in part.columns)]:
        more.append(f'Gaps where a cell is missing: {", ".join(lacking)}')
    if dropped:
        left = several([column.name for column in dropped])
        more.append(f'Left out, since only published rows have them (--every-column shows them): {left}')
    says = 'Mean scores of each encoder, scaled within each column'
    return captioned(figure, caption(part, says, names=names, more=more, interval=False))


def _ends(column: Column) -> str:
    """`15.0–83.4 %`: worst and best mean."""
    means = [cell.interval.mean for cell in column.cells.values()]
    worst, best = (min(means), max(means)) if column.higher_is_better else (max(means), min(means))
    unit = ' %' if column.unit == 'percent' else ''
    return f'{column.text(worst)}–{column.text(best)}{unit}'


def _outline(axes: PolarAxes, columns: Sequence[Column], row: str, look: Look, points: float) -> None:
    angles = _angles(len(columns))
    radii = np.array([INNER + (1 - INNER) * shade(column, row) for column in columns])
    closed = np.append(radii, radii[0])
    axes.plot(np.append(angles, angles[0]), closed, linewidth=1.0, markersize=points, mew=0.5, **look.line())
    if not np.isnan(radii).any():
        axes.fill(angles, radii, color=look.colour, alpha=0.10, linewidth=0)


def _angles(number: int) -> np.ndarray:
    """Clockwise from the top."""
    return math.pi / 2 - 2 * math.pi * np.arange(number) / number


def _dress(axes: PolarAxes, number: int) -> None:
    axes.set_ylim(0, LIMIT)
    axes.set_yticks([INNER, 1.0], ['', ''])
    axes.set_xticks(_angles(number) % (2 * math.pi), [''] * number)
    axes.grid(color='#CCCCCC', linewidth=0.5)
    axes.spines['polar'].set_visible(False)


def _together(
    columns: Sequence[Column], rows: Sequence[str], names: dict[str, str], look: dict[str, Look], inches: float
) -> Figure:
    labels = [names[row] for row in rows]
    over = 0.135 * legend_lines(labels, inches) + 0.1
    side = min(inches - 1.9, 2.9)  # of the circle
    height = side + 0.8 + over
    figure = Figure(figsize=(inches, height))
    legend(figure, line_handles(look, rows), labels, inches, outside=False)
    axes = figure.add_axes(
        ((inches - side) / 2 / inches, 0.4 / height, side / inches, side / height), projection='polar'
    )
    _dress(axes, len(columns))
    for row in rows:
        _outline(axes, columns, row, look[row], 2.4)
    room = (inches - side) / 2 - 0.05
    for angle, column in zip(_angles(len(columns)), columns):
        x, y = math.cos(angle), math.sin(angle)
        upright = abs(x) < 0.1
        label = wrapped(f'{column.label}\xa0{arrow(column)}', inches / 2 if upright else room, SMALL)
        axes.annotate(
            f'{label}\n{_ends(column)}',
            (angle, 1.1),
            ha='center' if upright else 'left' if x > 0 else 'right',
            va='bottom' if y > 0.9 else 'top' if y < -0.9 else 'center',
            fontsize=SMALL,
            linespacing=1.05,
            annotation_clip=False,
        )
    return figure


def _apart(
    columns: Sequence[Column],
    rows: Sequence[str],
    names: dict[str, str],
    look: dict[str, Look],
    inches: float,
    width: str,
) -> Figure:
    per_line = even_lines(len(rows), int(inches / SMALL_PANEL[width]))
    panel = min(inches / per_line, 1.6)
    lines = math.ceil(len(rows) / per_line)
    keys = [f'{i}  {column.label}\xa0{arrow(column)} {_ends(column)}' for i, column in enumerate(columns, 1)]
    keys_per_line = 2 if inches > 5 else 1
    key_lines = math.ceil(len(keys) / keys_per_line)
    below = 0.115 * key_lines + 0.1
    height = lines * (panel + 0.06) + below
    figure = Figure(figsize=(inches, height))
    for place, row in enumerate(rows):
        line, x = divmod(place, per_line)
        left = (inches - per_line * panel) / 2 + x * panel
        bottom = below + (lines - 1 - line) * (panel + 0.06)
        inner = panel - 0.46
        where = ((left + 0.23) / inches, (bottom + 0.12) / height, inner / inches, inner / height)
        axes = figure.add_axes(where, projection='polar')
        _dress(axes, len(columns))
        _outline(axes, columns, row, look[row], 1.8)
        axes.set_title(fitting(names[row], panel - 0.05, 6.5), fontsize=6.5, pad=12)
        for number, angle in enumerate(_angles(len(columns)), 1):
            axes.text(
                angle, LIMIT * (1 + 0.17 / inner), str(number), ha='center', va='center', fontsize=SMALL, color=GREY
            )
    for place, key in enumerate(keys):
        column, line = divmod(place, key_lines)
        x = 0.1 + column * inches / keys_per_line
        y = below - 0.1 - 0.115 * line
        text = fitting(key, inches / keys_per_line - 0.15, SMALL)
        figure.text(x / inches, y / height, text, fontsize=SMALL, va='center')
    return figure
