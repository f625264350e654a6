"""Bars: every encoder in each column of the results table, with 95 % intervals, single seeds and chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from eval.report.figures import captioned, looks, style, width_inches
from eval.report.figures._caption import caption, several
from eval.report.figures._layout import (
    CHANCE_STYLE,
    GREY,
    INK,
    SMALL,
    axis_label,
    chance_handle,
    even_lines,
    keep_out_of_layout,
    legend,
    rows_of,
    short_names,
    text_width,
    with_measured,
    wrapped,
)
from eval.report.figures._looks import Look
from eval.report.notes import COMMONEST
from eval.report.table import Column, Table, TableCell

# Inches.
ROW_HEIGHT = {'page': 0.125, 'column': 0.108}
MANY_ROWS, THIN_ROW = 12, 0.105  # with more rows, they are lower
PANEL_WIDTH = {'page': 1.25, 'column': 0.8}  # the least
COMMONEST_DOTS = (0, (1, 1.5))


def draw(table: Table, *, width: str = 'page', every_column: bool = False) -> Figure:
    """How each encoder scores in each protocol and dataset: mean, 95 % interval, single seeds, and chance.

    Each panel is a column of the results table with its own scale from 0, each bar an encoder. Whiskers cover seeds and
    the choice of test videos (eval.report.statistics.interval). A star marks a bar whose runs did not score all videos.
    A pale bar with an exclamation mark scored too few videos to count in a mean.

    Args:
        table: The results.
        width: `page` or `column`.
        every_column: Show columns that only published rows have, too.

    Raises:
        FigureError: if the width is unknown or the table is empty.
    """
    inches = width_inches(width)
    part, dropped = with_measured(table, every_column)
    rows, look = rows_of(part), looks(table)
    names = short_names(rows, width)
    label_width = max(text_width(name, 6.5) for name in names.values()) + 0.12
    per_line = even_lines(len(part.columns), int((inches - label_width) / PANEL_WIDTH[width]))
    room = (inches - label_width) / per_line - 0.12
    num_lines = math.ceil(len(part.columns) / per_line)
    titles = [_title(column, room) for column in part.columns]
    xlabels = [wrapped(axis_label(column), room, SMALL) for column in part.columns]
    text_lines = max(t.count('\n') for t in titles) + max(x.count('\n') for x in xlabels) + 2
    row_height = THIN_ROW if len(rows) > MANY_ROWS else ROW_HEIGHT[width]
    height = num_lines * (row_height * (len(rows) + 0.6) + 0.105 * text_lines + 0.28)
    with style():
        figure = Figure(figsize=(inches, height + 0.16), layout='constrained')
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0)
        panels = figure.subplots(num_lines, per_line, squeeze=False, sharey=True).ravel()
        for axes, column, title, xlabel in zip(panels, part.columns, titles, xlabels):
            for y, row in enumerate(rows):
                if row in column.cells:
                    _draw_bar(axes, column, column.cells[row], look[row], y)
                else:
                    _say(axes, 0, y, 'no mean' if column.is_summary else 'missing', GREY)
            _dress(axes, column, room)
            keep_out_of_layout(axes)
            axes.set_title(title, fontsize=6.5, linespacing=1.1)
            axes.set_xlabel(xlabel, fontsize=SMALL, linespacing=1.1)
        for axes in panels[len(part.columns) :]:
            axes.set_visible(False)
        for axes in panels[::per_line]:
            axes.set_yticks(range(len(rows)), [names[row] for row in rows], fontsize=6.5)
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        _legend(figure, part, inches)
    says = 'Mean score of each encoder in each column; circles are single seeds. Scales start at 0 and differ by panel'
    more = [f'{COMMONEST[0].upper()}{COMMONEST[1:]}'] if any(column.is_unbalanced for column in part.columns) else []
    if dropped:
        left = several([column.name for column in dropped])
        more.append(f'Left out, since only published rows have them (--every-column shows them): {left}')
    return captioned(figure, caption(part, says, names=names, more=more, chance=True))


def _title(column: Column, room: float) -> str:
    """Group above, short name below, both within the panel."""
    if column.is_summary:
        return column.name
    group, label = wrapped(column.group, room, 6.5), wrapped(column.label, room, 6.5)
    return f'{group}\n{label}' if group and group != label else label


def _draw_bar(axes: Axes, column: Column, cell: TableCell, look: Look, y: int) -> None:
    mean, low, high = cell.interval[:3]
    axes.barh(y, mean, 0.78, alpha=0.4 if cell.left_out else None, **look.area())
    end = mean
    if not math.isnan(low):
        axes.errorbar(mean, y, xerr=[[mean - low], [high - mean]], color=INK, linewidth=0.8, capsize=1.3, capthick=0.8)
        end = high
    scores = cell.scores
    if len(scores) > 1:
        # Circles above and below the whisker, so that neither hides the other.
        offsets = [y + (0.2 if i % 2 else -0.2) for i in range(len(scores))]
        axes.plot(scores, offsets, 'o', markersize=1.9, markerfacecolor='white', markeredgecolor=INK, mew=0.4)
        end = max(end, *scores)
    _say(axes, end, y, f'{column.text(mean)}{cell.mark}', INK)


def _say(axes: Axes, x: float, y: int, text: str, colour: str) -> None:
    axes.annotate(
        text,
        (x, y),
        (2.5, 0),
        textcoords='offset points',
        ha='left',
        va='center_baseline',
        fontsize=SMALL,
        color=colour,
        path_effects=[withStroke(linewidth=1.2, foreground='white')],
    )


def _dress(axes: Axes, column: Column, room: float) -> None:
    """Scale, grid, chance and commonest class of one panel."""
    cells = list(column.cells.values())
    ends = [max([cell.interval.mean, *cell.scores, *_known(cell.interval.high)]) for cell in cells]
    marks = [value for value in (column.chance, column.is_unbalanced and column.commonest) if value]
    highest = max([*ends, *marks, 0.0])
    texts = [f'{column.text(cell.interval.mean)}{cell.mark}' for cell in cells]
    widest = max([text_width(text, SMALL) for text in texts], default=0.0) + 0.08
    usable = room - 0.06
    limit = (highest or 1.0) * usable / (usable - widest) if widest < 0.8 * usable else 2 * (highest or 1.0)
    axes.set_xlim(0, limit)
    ticks = MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]).tick_values(0, highest or 1.0)
    axes.set_xticks([tick for tick in ticks if tick <= max(highest, 1e-9) or not cells])
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    axes.tick_params(axis='x', labelsize=SMALL)
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color='#E2E2E2', linewidth=0.5)
    if column.chance is not None:
        axes.axvline(column.chance, **CHANCE_STYLE)
    if column.is_unbalanced and column.commonest is not None:
        axes.axvline(column.commonest, color=INK, linewidth=0.8, linestyle=COMMONEST_DOTS)


def _known(value: float) -> Sequence[float]:
    return [] if math.isnan(value) else [value]


def _legend(figure: Figure, table: Table, inches: float) -> None:
    """What the lines across the bars mean; the encoders are named beside them."""
    entries = {}
    if any(column.chance is not None for column in table.columns):
        entries['chance'] = chance_handle()
    if any(column.is_unbalanced for column in table.columns):
        entries['commonest class'] = Line2D([], [], color=INK, linewidth=0.8, linestyle=COMMONEST_DOTS)
    legend(figure, list(entries.values()), list(entries), inches)
