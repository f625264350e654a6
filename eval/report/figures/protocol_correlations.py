"""Whether columns agree: Kendall's tau and Spearman's rho between every two columns, over the encoders of both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from eval.report.agreement import MIN_ENCODERS, Agreement, agreements, sentences
from eval.report.aligned import short_name
from eval.report.figures import captioned, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import GREY, SMALL, columns_of, fitting, text_width
from eval.report.figures._sentence import draw_sentence
from eval.report.table import Column, Table

COLOURS = 'PuOr_r'  # both ends differ for every kind of colour vision
ABSENT = '#F2F2F2'
LABEL = {'page': 1.5, 'column': 0.95}  # inches: the longest name of a column
MOST_CELL = 0.75  # inches


def draw(table: Table, *, width: str = 'page') -> Figure:
    """How alike columns order the encoders: Kendall's tau-b below the diagonal, Spearman's rho above it.

    Numbers are bold where the 95 % interval excludes 0. Intervals are drawn in where they fit; they are about the true
    scores of these encoders (eval/report/agreement.py). Random weights are left out, since every column puts them last.
    Pairs of columns with fewer than three encoders in common are grey.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if the width is unknown.
    """
    inches = width_inches(width)
    found = agreements(table)
    says = "How alike two columns order the encoders: Kendall's tau-b below the diagonal, Spearman's rho above it"
    if not found:
        said = sentences(table)
        return captioned(draw_sentence(' '.join(said), inches), ' '.join([f'{says}.', *said]))
    inside = {column.key for each in found for column in (each.first, each.second)}
    columns = [column for column in table.measured if column.key in inside]
    with style():
        figure = _draw(table, columns, found, inches, LABEL[width])
    counts = sorted({each.num_encoders for each in found})
    over = f'{counts[0]} encoders' if len(counts) == 1 else f'{counts[0]} to {counts[-1]} encoders'
    more = [
        '1 is the same order, 0 none, -1 the reverse',
        f'Over {over}; random weights are left out',
        'Bold: the 95 % interval excludes 0',
        *sentences(table, most=1),
    ]
    if len(inside) < len(table.measured):
        more.append(f'Left out: columns that share fewer than {MIN_ENCODERS} encoders with any other')
    part = columns_of(table, lambda column: column.key in inside)
    return captioned(figure, caption(part, says, more=more, interval=False))


def _draw(table: Table, columns: Sequence[Column], found: list[Agreement], inches: float, most: float) -> Figure:
    num = len(columns)
    names = [fitting(short_name(table, column), most, SMALL) for column in columns]
    left = max(text_width(name, SMALL) for name in names) + 0.1
    cell = min(MOST_CELL, (inches - left - 0.05) / num)
    tall = min(cell, 0.34)
    height = left + tall * num + 0.45
    figure = Figure(figsize=(inches, height))
    start = (inches - left - cell * num) / 2 + left
    axes = figure.add_axes((start / inches, 0.4 / height, cell * num / inches, tall * num / height))
    values = np.full((num, num), np.nan)
    at = {column.key: i for i, column in enumerate(columns)}
    for each in found:
        i, j = at[each.first.key], at[each.second.key]
        values[j, i], values[i, j] = each.tau, each.rho
        _write(axes, j, i, (each.tau, each.tau_low, each.tau_high), cell, tall)
        _write(axes, i, j, (each.rho, each.rho_low, each.rho_high), cell, tall)
    axes.set_facecolor(ABSENT)
    axes.imshow(np.ma.masked_invalid(values), vmin=-1, vmax=1, cmap=COLOURS, aspect='auto')
    axes.set_xticks(range(num), names, fontsize=SMALL, rotation=90)
    axes.set_yticks(range(num), names, fontsize=SMALL)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False, pad=2)
    axes.set_xticks(np.arange(num - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(num - 1) + 0.5, minor=True)
    axes.grid(which='minor', color='white', linewidth=0.8)
    axes.tick_params(which='minor', length=0)
    axes.spines[:].set_visible(False)
    _draw_bar(figure, inches, height)
    return figure


def _write(axes: Axes, y: int, x: int, of: tuple[float, float, float], cell: float, tall: float) -> None:
    """The number of a cell and, where it fits, its interval."""
    value, low, high = of
    if cell < 0.23 or tall < 0.1:
        return
    if not np.isfinite(value):
        axes.text(x, y, '–', ha='center', va='center', fontsize=SMALL, color=GREY)
        return
    ink = 'white' if abs(value) > 0.6 else '#111111'
    weight = 'bold' if np.isfinite(low) and (low > 0 or high < 0) else 'normal'
    ends = f'[{low:.2f}, {high:.2f}]'
    fits = np.isfinite(low) and text_width(ends, SMALL) < cell - 0.06 and tall > 0.24
    axes.text(
        x,
        y - (0.2 if fits else 0),
        f'{value:.2f}',
        ha='center',
        va='center_baseline',
        fontsize=SMALL + fits * 0.5,
        fontweight=weight,
        color=ink,
    )
    if fits:
        axes.text(x, y + 0.22, ends, ha='center', va='center_baseline', fontsize=SMALL, color=ink)


def _draw_bar(figure: Figure, inches: float, height: float) -> None:
    wide = min(1.6, inches * 0.45)
    axes = figure.add_axes(((inches - wide) / 2 / inches, 0.22 / height, wide / inches, 0.07 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), COLOURS), cax=axes, orientation='horizontal')
    bar.set_ticks([-1, 0, 1], labels=['−1 reverse', '0', '1 same order'])
    axes.tick_params(labelsize=SMALL, length=1.5, pad=1.5)
    bar.outline.set_linewidth(0.4)
