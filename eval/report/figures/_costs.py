"""Scores against operations: the two figures of cost differ only in which operations they read from the records."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.report.figures import FigureError, captioned, looks, style, width_inches
from eval.report.figures._caption import caption, several
from eval.report.figures._layout import SMALL, axis_label, line_handles, plain_log_ticks, short_names, wrapped
from eval.report.figures._panels import is_outer, panel_grid
from eval.report.figures._scatter import Point, draw_points, name_points
from eval.report.statistics import Interval
from eval.report.sweeps import holds_sweep
from eval.report.table import Table, TableCell

LEAST = {'page': 1.6, 'column': 1.6}  # inches of a panel
HEIGHT, HEIGHT_ALONE = 1.5, 2.4


def draw_costs(table: Table, key: str, label: str, says: str, remedy: str, width: str) -> Figure:
    """One panel for each column: score against the operations under `key` of the records' `encoder`, logarithmic.

    Args:
        table: The results.
        key: `flops` or `pretraining_flops`.
        label: Of the x axis.
        says: What the figure shows.
        remedy: What a user can do about records that do not say.
        width: `page` or `column`.

    Raises:
        FigureError: if no record says, or the width is unknown.
    """
    inches = width_inches(width)
    part = table.only(lambda column: not holds_sweep(column))
    known = {
        column.key: {row: cost for row, cell in column.cells.items() if (cost := operations(cell, key))}
        for column in part.columns
    }
    columns = [column for column in part.columns if known[column.key]]
    if not columns:
        raise FigureError(f'No record says how many operations it took (encoder.{key}); {remedy}')
    part.measured = [column for column in columns if not column.is_summary]
    part.columns = columns
    rows = [row for row in table.every_row if any(row in known[column.key] for column in columns)]
    unknown = [row for row in table.every_row if row not in rows and any(row in c.cells for c in columns)]
    look, names = looks(table), short_names([*rows, *unknown], width)
    lines = [row for row in unknown if look[row].colour == '#BDBDBD' and not look[row].is_published]
    with style():
        handles = line_handles(look, rows)
        for handle in handles:
            handle.set_linestyle('')
        handles += [Line2D([], [], color=look[row].colour, linewidth=1.0) for row in lines]
        labels = [names[row] for row in [*rows, *lines]]
        height = HEIGHT_ALONE if len(columns) == 1 else HEIGHT
        figure, panels = panel_grid(len(columns), inches, LEAST[width], height, handles, labels)
        drawn = {}
        for axes, column in zip(panels, columns):
            here = known[column.key]
            drawn[axes] = {row: Point(_exactly(here[row]), column.cells[row].interval) for row in rows if row in here}
            draw_points(axes, drawn[axes], look, 3.2)
            for row in lines:
                if row in column.cells:
                    axes.axhline(column.cells[row].interval.mean, color=look[row].colour, linewidth=1.0, zorder=0)
            axes.set_xscale('log')
            _few_ticks(axes, list(here.values()))
            axes.set_title(column.name if column.is_summary else column.label, fontsize=6.5)
            axes.set_ylabel(wrapped(axis_label(column), height - 0.45, SMALL), fontsize=SMALL)
            axes.tick_params(labelsize=SMALL)
            if is_outer(axes, panels)[1]:
                room = inches / axes.get_subplotspec().get_gridspec().ncols - 0.4
                axes.set_xlabel(wrapped(label, room, SMALL), fontsize=SMALL)
        name_points(figure, drawn, look, names)
    more = []
    if lines:
        more.append(f'Grey line: {", ".join(names[row] for row in lines)}, which was not pretrained')
    if left := [names[row] for row in unknown if row not in lines]:
        more.append(f'Left out, since their records do not say how many operations it took: {several(left)}; {remedy}')
    return captioned(figure, caption(part, says, names=names, more=more))


def operations(cell: TableCell, key: str) -> float | None:
    """What the records of a cell say under `encoder.<key>`; None if one does not, or they disagree."""
    found = {record.encoder.get(key) for record in cell.records}
    cost = found.pop() if len(found) == 1 else None
    return cost if cost and cost > 0 else None


def _exactly(value: float) -> Interval:
    return Interval(value, math.nan, math.nan, 0, 0, 'exact')


def _few_ticks(axes, values: list[float]) -> None:
    """Ticks at 1, 2 and 5 times powers of ten around the values, three to five of them."""
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        below = max(tick for tick in ticks if tick <= low * 1.001)
        above = min(tick for tick in ticks if tick >= high * 0.999)
        ticks = [tick for tick in ticks if below <= tick <= above]
        if len(ticks) <= 4:
            break
    ticks = ticks[:: math.ceil(len(ticks) / 4)]
    axes.set_xlim(below / 1.3, above * 1.3)
    plain_log_ticks(axes.xaxis, ticks)
