"""What fits on paper: widths of text, short names, wrapped labels, legends, and the part of a table to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter

from eval.report.figures import FigureError
from eval.report.figures._looks import PUBLISHED, Look
from eval.report.table import Column, Table
from sigma.text import shown

SMALL = 6.0  # points: the smallest text on paper
MOST_CHARACTERS = {'page': 22, 'column': 16}  # of a name
INK, GREY = '#222222', '#666666'
CHANCE_DASHES = (0, (4, 2))
CHANCE_STYLE: dict[str, Any] = {'color': INK, 'linewidth': 0.8, 'linestyle': CHANCE_DASHES}
PUBLISHED_MARK = '†'
LEGEND_MARGIN = 0.2  # inches, on both sides together


@lru_cache(maxsize=8192)
def text_width(text: str, points: float) -> float:
    """Width of a line of text in inches."""
    if not text.strip():
        return 0.0
    path = TextPath((0, 0), text, size=points, usetex=False)
    return _path_width(path) / 72


def _path_width(path: Path) -> float:
    """Width of `path.get_extents()`, for all quadratic curves at once: fonts are full of them."""
    codes: np.ndarray | None = None if path.codes is None else np.asarray(path.codes)
    x = np.asarray(path.vertices, dtype=float)[:, 0]
    if codes is None or (codes == Path.CURVE4).any():
        return path.get_extents().width
    curved = np.flatnonzero(codes == Path.CURVE3)
    control, end = curved[::2], curved[1::2]  # a curve is a control point and an end; its start lies before them
    first, middle, last = x[control - 1], x[control], x[end]
    bend = first - 2 * middle + last
    with np.errstate(divide='ignore', invalid='ignore'):
        turn = (first - middle) / bend  # where x is extreme
    inside = (turn > 0) & (turn < 1)
    turn, first, middle, last = turn[inside], first[inside], middle[inside], last[inside]
    extreme = (1 - turn) ** 2 * first + 2 * turn * (1 - turn) * middle + turn**2 * last
    reached = np.concatenate([x[(codes == Path.MOVETO) | (codes == Path.LINETO)], x[end], extreme])
    return float(reached.max() - reached.min()) if len(reached) else 0.0


def wrapped(text: str, inches: float, points: float) -> str:
    """The text in lines of at most that width, broken at spaces (no \xa0) and after _ - /."""
    lines: list[str] = []
    for part in re.findall(r'[^ _/-]*[_/-]+|[^ _/-]+| +', text.strip()):
        longer = lines[-1] + part if lines else part
        if lines and text_width(longer.rstrip(), points) <= inches:
            lines[-1] = longer
        elif part.strip():
            lines.append(fitting(part, inches, points))
    return '\n'.join(line.rstrip() for line in lines)


def fitting(text: str, inches: float, points: float, at_end: bool = False) -> str:
    """The text, with … in its middle, or `at_end`, if it is wider than that."""
    most = len(text)
    while text_width(found := shortened(text, most, at_end), points) > inches and most > 3:
        most -= 1
    return found


def shortened(text: str, most: int, at_end: bool = False) -> str:
    """The text in at most that many characters: its start and its end, … between them; `at_end`: its start."""
    if len(text) <= most:
        return text
    end = 0 if at_end else (most - 1) // 3
    return f'{text[: most - 1 - end]}…{text[len(text) - end :] if end else ""}'


def short_names(rows: Iterable[str], width: str = 'page') -> dict[str, str]:
    """Row -> its name in figures: `MVD †` for `MVD (published)`, long names with … in the middle, none twice."""
    found: dict[str, str] = {}
    for row in rows:
        name, published, source = row.partition(PUBLISHED)
        mark = f' {PUBLISHED_MARK}' if published else ''
        short = shortened(shown(name), MOST_CHARACTERS[width] - len(mark)) + mark
        source = source.strip(',) ')
        if short in found.values() and source:
            short += f' {source}'
        number, first = 2, short
        while short in found.values():
            short, number = f'{first} ({number})', number + 1
        found[row] = short
    return found


def axis_label(column: Column) -> str:
    """`top-1 accuracy (%) ↑`: metric, unit, and where better is."""
    unit = '%' if column.unit == 'percent' else column.unit
    name = 'mean' if column.is_summary else column.metric_label
    return f'{name} ({unit})\xa0{arrow(column)}'


def arrow(column: Column) -> str:
    """↑ if higher is better, ↓ if lower is."""
    return '↑' if column.higher_is_better else '↓'


def laid_out(inches: float, height: float, space: float = 0.02) -> Figure:
    """A figure whose panels make room for their labels; `space` is the least between them, as a share of a panel."""
    return Figure(
        figsize=(inches, height), layout=ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.03, hspace=space, wspace=space)
    )


def columns_across(axes: Axes) -> int:
    """How many panels stand beside one another where this one stands."""
    spec = axes.get_gridspec()
    return 1 if spec is None else spec.ncols


def with_measured(table: Table, every_column: bool = False) -> tuple[Table, list[Column]]:
    """The table with the columns that a row of our own has, and the other columns, which only papers have.

    A table of published numbers alone, or with `every_column`, stays whole. Raises FigureError if nothing is left.
    """
    if not table.columns:
        raise FigureError('The table has no column; give records of at least one cell')
    if every_column or not any(not cell.published for cell in table.cells):
        return table, []
    keep = {id(c) for c in table.measured if any(not cell.published for cell in c.cells.values())}
    dropped = [column for column in table.measured if id(column) not in keep]
    return table.only(lambda column: id(column) in keep), dropped


def columns_of(table: Table, keep: Callable[[Column], bool]) -> Table:
    """The part of the table with these columns, without its summary."""
    part = table.only(keep)
    part.columns = [column for column in part.columns if not column.is_summary]
    return part


def rows_of(table: Table) -> list[str]:
    """Rows that have a cell in a column of this part, in the order of the whole table."""
    here = {row for column in table.columns for row in column.cells}
    return [row for row in table.every_row if row in here]


def keep_out_of_layout(axes: Axes) -> None:
    """Let the layout pass over what lies inside the axes: it needs no room, and there may be hundreds of bars."""
    for artist in (*axes.texts, *axes.lines, *axes.collections, *axes.patches):
        artist.set_in_layout(False)


def plain_log_ticks(axis, values: Sequence[float] | None = None) -> None:
    """Plain numbers on a logarithmic axis (1k, 10M), at these values or where matplotlib puts them."""
    if values is not None:
        axis.set_ticks(list(values))
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ''))


def compact(value: float) -> str:
    """1000 -> 1k, 2.5e9 -> 2.5G, 3e21 -> 3e21."""
    if value <= 0:
        return f'{value:g}'
    for power, unit in ((15, 'P'), (12, 'T'), (9, 'G'), (6, 'M'), (3, 'k')):
        if 10**power <= value < 10 ** (power + 3):
            return f'{value / 10**power:.3g}{unit}'
    if value < 1000:
        return f'{value:.3g}'
    digits, _, exponent = f'{value:.2e}'.partition('e')
    return f'{float(digits):g}e{int(exponent)}'


def legend(
    figure: Figure,
    handles: Sequence[Artist],
    labels: Sequence[str],
    width: float,
    points: float = 6.5,
    outside: bool = True,
) -> Legend | None:
    """A legend above the axes, with as many entries on a line as fit, to be read line by line; None if it is empty.

    `outside` is for figures with constrained layout, which make room for it.
    """
    if not labels:
        return None
    per_line = len(labels)
    while per_line > 1 and _legend_width(labels, per_line, points) > width - LEGEND_MARGIN:
        per_line -= 1
    # Matplotlib fills a legend by column; this order reads line by line.
    order = [i for first in range(per_line) for i in range(first, len(labels), per_line)]
    return figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc='outside upper center' if outside else 'upper center',
        ncols=per_line,
        fontsize=points,
        handlelength=2.0,
        handletextpad=0.5,
        columnspacing=1.0,
        labelspacing=0.25,
        borderaxespad=0.1,
    )


def legend_lines(labels: Sequence[str], width: float, points: float = 6.5) -> int:
    """How many lines `legend` takes."""
    per_line = len(labels)
    while per_line > 1 and _legend_width(labels, per_line, points) > width - LEGEND_MARGIN:
        per_line -= 1
    return math.ceil(len(labels) / per_line) if labels else 0


def _legend_width(labels: Sequence[str], per_line: int, points: float) -> float:
    # A column is as wide as its widest entry: 2 em of handle, 0.5 em to the text, 1 em to the next column.
    return sum(max(text_width(label, points) for label in labels[i::per_line]) for i in range(per_line)) + (
        per_line * (3.5 * points / 72 + 0.02)
    )


def line_handles(look: dict[str, Look], rows: Sequence[str]) -> list[Line2D]:
    """A line with its marker for each row, for a legend."""
    return [Line2D([], [], linewidth=1.1, markersize=3.2, **look[row].line()) for row in rows]


def chance_handle() -> Line2D:
    """The dashed line of chance, for a legend."""
    return Line2D([], [], color=INK, linewidth=0.8, linestyle=CHANCE_DASHES)


def even_lines(number: int, most: int) -> int:
    """Panels on a line, so that lines are as even as possible: 4 and 4 rather than 7 and 1."""
    return math.ceil(number / math.ceil(number / max(1, most)))
