"""Temporal localization: mAP of every encoder at each temporal IoU, one panel per protocol and dataset."""

from __future__ import annotations

import math
import re

import numpy as np
from matplotlib.figure import Figure

from eval.report.figures import FigureError, captioned, looks, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import SMALL, columns_of, line_handles, short_names
from eval.report.figures._panels import MOST_BANDS, draw_line, panel_grid
from eval.report.table import Column, Table, TableCell

LEAST = {'page': 2.2, 'column': 3.0}  # inches of a panel
HEIGHT = 2.0
FEWEST = 2  # thresholds of a curve
AT_ONE = re.compile(r'map_(\d\d)')


def draw(table: Table, *, width: str = 'page') -> Figure:
    """How mAP falls as predicted segments must overlap the true ones more (temporal IoU).

    The mean over seeds of the mAP at each threshold that the records hold. Areas are the range over seeds; with more
    than eight encoders there are none.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if no column has mAP at two thresholds, or the width is unknown.
    """
    inches = width_inches(width)
    found = [column for column in table.measured if any(map(curve, column.cells.values()))]
    if not found:
        raise FigureError('No record holds mAP at two temporal IoUs; run eval/run_severe.py --suite localization_toy')
    part = columns_of(table, lambda column: column in found)
    rows = [row for row in table.every_row if any(row in c.cells and curve(c.cells[row]) for c in found)]
    look, names, bands = looks(table), short_names(rows, width), len(rows) <= MOST_BANDS
    with style():
        handles, labels = line_handles(look, rows), [names[row] for row in rows]
        figure, panels = panel_grid(len(found), inches, LEAST[width], HEIGHT, handles, labels)
        for axes, column in zip(panels, found):
            for row in rows:
                if row in column.cells and (steps := curve(column.cells[row])):
                    x, values = list(steps), list(steps.values())
                    several = len(values[0]) > 1
                    lows = [min(each) if several else math.nan for each in values]
                    highs = [max(each) if several else math.nan for each in values]
                    means = [float(np.mean(each)) for each in values]
                    draw_line(axes, look[row], x, means, lows, highs, bands, row)
            axes.set_xticks(thresholds(column), [f'{tiou:g}' for tiou in thresholds(column)])
            axes.set_xlabel('temporal IoU', fontsize=SMALL)
            axes.set_ylabel('mAP (%) ↑', fontsize=SMALL)
            axes.set_title(f'{column.protocol.replace("_", " ")}, {column.dataset}', fontsize=6.5)
            axes.tick_params(labelsize=SMALL)
            axes.set_ylim(bottom=0)
    more = [
        'Areas: range over seeds' if bands else f'The range over seeds is not drawn for more than {MOST_BANDS} encoders'
    ]
    for column in found:
        if absent := [names[row] for row in rows if row not in column.cells or not curve(column.cells[row])]:
            more.append(f'Missing in {column.name}: {", ".join(absent)}')
    says = 'mAP at each temporal IoU, mean over seeds'
    return captioned(figure, caption(part, says, names=names, more=more, interval=False))


def curve(cell: TableCell) -> dict[float, list[float]]:
    """Temporal IoU -> mAP of each seed, where all seeds hold it; empty with fewer than two thresholds."""
    held = [
        {int(match[1]) / 100: value for name, value in _scores(record).items() if (match := AT_ONE.fullmatch(name))}
        for record in cell.records
    ]
    shared = sorted(set.intersection(*map(set, held))) if held else []
    return {tiou: [each[tiou] for each in held] for tiou in shared} if len(shared) >= FEWEST else {}


def thresholds(column: Column) -> list[float]:
    """All thresholds of a column, ascending."""
    return sorted({tiou for cell in column.cells.values() for tiou in curve(cell)})


def _scores(record) -> dict[str, float]:
    return {**(record.score['others'] or {}), record.score['metric']: record.score['value']}
