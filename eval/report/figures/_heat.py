"""A map of encoders and columns, cut into blocks of columns that fit the width of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from eval.report.figures._layout import GREY, SMALL, even_lines, fitting, text_width, wrapped
from eval.report.table import Column

COLOURS = 'YlGnBu'  # light to dark, so that it also reads in grey
ROW_HEIGHT = 0.135  # inches
ABSENT = '#F2F2F2'


@dataclass
class Heat:
    """What a map holds; all arrays are (rows, columns).

    Attributes:
        shades: 0 to 1, light to dark; NaN where nothing is there.
        texts: In the cells.
        bold: Cells in bold.
        groups: Of each column; equal neighbours share one heading. Empty for none.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    shades: np.ndarray
    texts: Sequence[Sequence[str]]
    bold: np.ndarray
    groups: Sequence[str] = ()


def shade(column: Column, row: str) -> float:
    """0 for the worst mean of the column, 1 for the best; NaN if the row has none, 0.5 if all are equal."""
    if row not in column.cells:
        return np.nan
    means = [cell.interval.mean for cell in column.cells.values()]
    low, high = min(means), max(means)
    if low == high:
        return 0.5
    share = (column.cells[row].interval.mean - low) / (high - low)
    return share if column.higher_is_better else 1 - share


def draw_heat(heat: Heat, inches: float, least: float, bar: tuple[str, Sequence[str]], upright: bool = False) -> Figure:
    """The map as a figure of that width.

    Args:
        heat: What it holds.
        inches: Width of the figure.
        least: Least width of a cell.
        bar: Title of the colour bar, and its labels from light to dark, evenly spaced.
        upright: Write the names of columns upward.
    """
    left = max(text_width(name, 6.5) for name in heat.rows) + 0.1
    number = len(heat.columns)
    per_block = even_lines(number, int((inches - left - 0.05) / least))
    starts = range(0, number, per_block)
    cell = min((inches - left - 0.05) / per_block, 1.1)
    labels = [fitting(c, 1.0, SMALL) if upright else wrapped(c, cell - 0.05, SMALL) for c in heat.columns]
    head = max((text_width(label, SMALL) for label in labels), default=0) + 0.1 if upright else 0.0
    if not upright:
        head = 0.1 * max(label.count('\n') + 1 for label in labels) + 0.05
    over = 0.17 if heat.groups else 0.0
    block = head + over + ROW_HEIGHT * len(heat.rows) + 0.06
    height = block * len(starts) + 0.42
    figure = Figure(figsize=(inches, height))
    for turn, start in enumerate(starts):
        stop = min(start + per_block, number)
        bottom = height - block * turn - block + 0.06
        size = ((stop - start) * cell / inches, ROW_HEIGHT * len(heat.rows) / height)
        axes = figure.add_axes((left / inches, bottom / height, *size))
        _draw_block(axes, heat, slice(start, stop), labels[start:stop], upright)
        if heat.groups:
            _draw_groups(axes, heat.groups[start:stop], cell, head)
    _draw_bar(figure, bar, inches, height)
    return figure


def _draw_block(axes: Axes, heat: Heat, part: slice, labels: Sequence[str], upright: bool) -> None:
    shades = heat.shades[:, part]
    axes.set_facecolor(ABSENT)
    axes.imshow(np.ma.masked_invalid(shades), vmin=0, vmax=1.15, cmap=COLOURS, aspect='auto')
    axes.autoscale(False)
    for (y, x), shade in np.ndenumerate(shades):
        absent = bool(np.isnan(shade))
        axes.text(
            x,
            y,
            heat.texts[y][part.start + x],
            ha='center',
            va='center_baseline',
            fontsize=SMALL,
            fontweight='bold' if heat.bold[y, part.start + x] else 'normal',
            color=GREY if absent else 'white' if shade > 0.62 else '#111111',
        )
    axes.set_yticks(range(len(heat.rows)), heat.rows, fontsize=6.5)
    axes.set_xticks(range(len(labels)), labels, fontsize=SMALL, linespacing=1.0, rotation=90 if upright else 0)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False, pad=2)
    axes.set_xticks(np.arange(len(labels) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(heat.rows) - 1) + 0.5, minor=True)
    axes.grid(which='minor', color='white', linewidth=0.8)
    axes.tick_params(which='minor', length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_groups(axes: Axes, groups: Sequence[str], cell: float, head: float) -> None:
    """The group of neighbouring columns above their names, with a line below it."""
    start = 0
    rows = axes.get_ylim()[0] + 0.5
    above = -0.5 - head / ROW_HEIGHT
    for stop in range(1, len(groups) + 1):
        if stop < len(groups) and groups[stop] == groups[start]:
            continue
        if groups[start] and rows:
            text = fitting(groups[start], (stop - start) * cell - 0.04, 6.5, at_end=True)
            axes.text((start + stop - 1) / 2, above - 0.15, text, ha='center', va='bottom', fontsize=6.5)
            axes.plot([start - 0.42, stop - 0.58], [above, above], color='#555555', linewidth=0.6, clip_on=False)
        start = stop


def _draw_bar(figure: Figure, bar: tuple[str, Sequence[str]], inches: float, height: float) -> None:
    title, labels = bar
    wide = min(1.6, inches * 0.45)
    title_width = text_width(title, SMALL)
    start = max(0.1, (inches - wide - title_width - 0.2) / 2)
    figure.text(start / inches, 0.235 / height, title, fontsize=SMALL, va='center')
    axes = figure.add_axes(((start + title_width + 0.12) / inches, 0.2 / height, wide / inches, 0.07 / height))
    colour = figure.colorbar(ScalarMappable(Normalize(0, 1.15), COLOURS), cax=axes, orientation='horizontal')
    axes.set_xlim(0, 1)
    colour.set_ticks(np.linspace(0, 1, len(labels)), labels=list(labels))
    axes.tick_params(labelsize=SMALL, length=1.5, pad=1.5)
    colour.outline.set_linewidth(0.4)
