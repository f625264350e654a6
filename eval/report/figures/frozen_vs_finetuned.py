"""Frozen against fine-tuned: every encoder as a point, one panel for each dataset and frozen protocol."""

from __future__ import annotations

from matplotlib.figure import Figure

from eval.report.figures import FigureError, captioned, looks, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import GREY, SMALL, axis_label, columns_of, line_handles, short_names
from eval.report.figures._panels import panel_grid
from eval.report.figures._scatter import Point, draw_points, name_points
from eval.report.table import Column, Table

LEAST = {'page': 2.2, 'column': 3.0}  # inches of a panel
HEIGHT = 2.4
FROZEN, FINETUNED = 'frozen', 'finetune'


def draw(table: Table, *, width: str = 'page') -> Figure:
    """How the frozen score of an encoder goes with its fine-tuned score: is the better probe the better start?

    One panel for each frozen protocol and dataset that is also fine-tuned on the same part of the training list, with
    the same metric. Whiskers are 95 % intervals. On the grey line both scores are equal.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if no dataset has both, for one encoder at least; or the width is unknown.
    """
    inches = width_inches(width)
    found = pairs(table)
    part = columns_of(table, lambda column: any(column in pair for pair in found))
    rows = [row for row in table.every_row if any(row in a.cells and row in b.cells for a, b in found)]
    look, names = looks(table), short_names(rows, width)
    with style():
        handles, labels = line_handles(look, rows), [names[row] for row in rows]
        for handle in handles:
            handle.set_linestyle('')
        figure, panels = panel_grid(len(found), inches, LEAST[width], HEIGHT, handles, labels)
        drawn = {}
        for axes, (frozen, tuned) in zip(panels, found):
            both = [row for row in rows if row in frozen.cells and row in tuned.cells]
            drawn[axes] = {row: Point(frozen.cells[row].interval, tuned.cells[row].interval) for row in both}
            draw_points(axes, drawn[axes], look)
            if frozen.unit == 'percent':
                axes.axline((0, 0), slope=1, color=GREY, linewidth=0.6, zorder=0)
            axes.set_title(f'{tuned.label}', fontsize=6.5)
            axes.set_xlabel(f'{frozen.protocol.replace("_", " ")}, {axis_label(frozen)}', fontsize=SMALL)
            axes.set_ylabel(f'fine-tuned, {axis_label(tuned)}', fontsize=SMALL)
            axes.tick_params(labelsize=SMALL)
        name_points(figure, drawn, look, names)
    more = []
    for frozen, tuned in found:
        lacking = [row for row in {**frozen.cells, **tuned.cells} if row not in frozen.cells or row not in tuned.cells]
        if lacking:
            more.append(f'Only one of the two scores in {frozen.name}: {", ".join(lacking)}')
    says = 'Frozen against fine-tuned score of each encoder; on the grey line both are equal'
    return captioned(figure, caption(part, says, names=names, more=more))


def pairs(table: Table) -> list[tuple[Column, Column]]:
    """(frozen, fine-tuned) columns of one dataset, subset and metric that share an encoder.

    Raises:
        FigureError: if there are none.
    """
    tuned = {(c.dataset, c.subset, c.metric): c for c in table.measured if c.protocol == FINETUNED}
    found = [
        (column, other)
        for column in table.measured
        if column.protocol.startswith(FROZEN)
        and (other := tuned.get((column.dataset, column.subset, column.metric))) is not None
        and set(column.cells) & set(other.cells)
    ]
    if not found:
        raise FigureError(
            f'No encoder has both a frozen and a fine-tuned score on one dataset; the records have '
            f'{", ".join(dict.fromkeys(column.protocol for column in table.measured))}. Run --suite frozen_toy and '
            '--suite severe_toy, or a suite of your own with both protocols'
        )
    return found
