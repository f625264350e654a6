"""Heat map: every encoder in every column of the table, shaded from the worst to the best of the column."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from eval.report.figures import captioned, style, width_inches
from eval.report.figures._caption import caption, several
from eval.report.figures._heat import Heat, draw_heat, shade
from eval.report.figures._layout import arrow, rows_of, short_names, with_measured
from eval.report.table import Column, Table

LEAST = {'page': 0.5, 'column': 0.4}  # inches of a cell


def draw(table: Table, *, width: str = 'page', every_column: bool = False) -> Figure:
    """The mean of every encoder in every column, darker where it is better within its column; the best is bold.

    Shades run from the worst to the best mean of a column, so they compare encoders and not columns. Cells that are
    missing are grey with a dash. Wide tables fold into blocks.

    Args:
        table: The results.
        width: `page` or `column`.
        every_column: Show columns that only published rows have, too.

    Raises:
        FigureError: if the width is unknown or the table is empty.
    """
    inches = width_inches(width)
    part, dropped = with_measured(table, every_column)
    rows = rows_of(part)
    names = short_names(rows, width)
    heat = Heat(
        rows=[names[row] for row in rows],
        columns=[f'{column.label}\xa0{arrow(column)}' for column in part.columns],
        shades=np.array([[shade(column, row) for column in part.columns] for row in rows], float),
        texts=[[_text(column, row) for column in part.columns] for row in rows],
        bold=np.array([[_is_best(column, row) for column in part.columns] for row in rows]),
        groups=[column.group for column in part.columns],
    )
    with style():
        figure = draw_heat(heat, inches, LEAST[width], ('within each column:', ('worst', 'best')))
    more = ['Shades run from the worst to the best mean of a column; the best is bold, and – is missing']
    if dropped:
        left = several([column.name for column in dropped])
        more.append(f'Left out, since only published rows have them (--every-column shows them): {left}')
    says = 'Mean score of each encoder in each column; ↑ higher is better, ↓ lower is better'
    return captioned(figure, caption(part, says, names=names, more=more, interval=False))


def _text(column: Column, row: str) -> str:
    cell = column.cells.get(row)
    return '–' if cell is None else f'{column.text(cell.interval.mean)}{cell.mark}'


def _is_best(column: Column, row: str) -> bool:
    cell = column.cells.get(row)
    return cell is not None and not cell.left_out and cell.interval.mean == column.best
