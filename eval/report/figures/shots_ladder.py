"""Shots ladder: the score of every encoder over the number of training clips, one panel per dataset."""

from __future__ import annotations

import math
import re

from matplotlib.figure import Figure

from eval.report.figures import FigureError, captioned, looks, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import (
    CHANCE_STYLE,
    SMALL,
    axis_label,
    chance_handle,
    columns_of,
    line_handles,
    plain_log_ticks,
    short_names,
    wrapped,
)
from eval.report.figures._panels import MOST_BANDS, draw_line, panel_grid
from eval.report.table import Column, Table

LEAST = {'page': 2.2, 'column': 3.0}  # inches of a panel
HEIGHT = 2.0
FEWEST = 2  # points on a ladder

PER_CLASS, IN_ALL = 'training clips per class', 'training clips'
CLOSEST = 0.08  # share of the axis between two labels

Ladder = tuple[str, str, str]  # protocol, dataset, what is counted


def draw(table: Table, *, width: str = 'page') -> Figure:
    """How the score grows with the number of training clips, on a logarithmic axis.

    One panel for each protocol and dataset with at least two sizes of the training list. Subsets of so many clips a
    class (`5-a-class`) are shown per class, and all clips there as the mean over classes; subsets of so many clips
    (`1000-examples`) have a panel of their own. Areas are 95 % intervals; with more than eight encoders there are none.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if no dataset has two sizes, or the width is unknown.
    """
    inches = width_inches(width)
    found = ladders(table)
    keys = {column.key for steps in found.values() for column in steps.values()}
    part = columns_of(table, lambda column: column.key in keys)
    rows = [row for row in table.every_row if any(row in column.cells for column in part.columns)]
    look, names, bands = looks(table), short_names(rows, width), len(rows) <= MOST_BANDS
    has_chance = any(column.chance is not None for steps in found.values() for column in steps.values())
    labels = [names[row] for row in rows] + ['chance'] * has_chance
    with style():
        handles = line_handles(look, rows) + [chance_handle()] * has_chance
        figure, panels = panel_grid(len(found), inches, LEAST[width], HEIGHT, handles, labels)
        for axes, ((protocol, dataset, counted), steps) in zip(panels, found.items()):
            for row in rows:
                points = [(x, column.cells[row].interval) for x, column in steps.items() if row in column.cells]
                if points:
                    means, lows, highs = zip(*(each[:3] for _, each in points))
                    draw_line(axes, look[row], [x for x, _ in points], means, lows, highs, bands, row)
            first = next(iter(steps.values()))
            if first.chance is not None:
                axes.axhline(first.chance, **CHANCE_STYLE)
            axes.set_xscale('log')
            plain_log_ticks(axes.xaxis, apart(list(steps)))
            axes.set_xlabel(f'{counted} (logarithmic)', fontsize=SMALL)
            axes.set_ylabel(wrapped(axis_label(first), HEIGHT - 0.6, SMALL), fontsize=SMALL)
            axes.set_title(f'{protocol.replace("_", " ")}, {dataset}', fontsize=6.5)
            axes.tick_params(labelsize=SMALL)
            axes.set_ylim(bottom=0)
    more = [] if bands else [f'Intervals are not drawn for more than {MOST_BANDS} encoders']
    for (protocol, dataset, counted), steps in found.items():
        lacking = [names[row] for row in rows if any(row not in column.cells for column in steps.values())]
        if lacking:
            more.append(f'Not at each number of {counted} in {protocol} / {dataset}: {", ".join(lacking)}')
    says = 'Score over the number of training clips'
    return captioned(figure, caption(part, says, names=names, more=more, interval=bands, chance=True))


def ladders(table: Table) -> dict[Ladder, dict[float, Column]]:
    """(protocol, dataset, what is counted) -> number of clips -> column, from few to many; two sizes or more.

    Raises:
        FigureError: if there is none.
    """
    found: dict[Ladder, dict[float, Column]] = {}
    for column in table.measured:
        for counted, number in clips_of(column).items():
            found.setdefault((column.protocol, column.dataset, counted), {})[number] = column
    kept = {
        key: dict(sorted(steps.items()))
        for key, steps in found.items()
        if len(steps) >= FEWEST and any(column.subset for column in steps.values())
    }
    if not kept:
        raise FigureError(
            'No dataset has scores for two numbers of training clips; run one protocol on a dataset with several '
            '--shots, or --suite severe_ladder'
        )
    return kept


def clips_of(column: Column) -> dict[str, float]:
    """Training clips of a column, per class and in all; a subset gives only what its name counts.

    Empty for all clips of a dataset whose records do not say how many there are.
    """
    if match := re.fullmatch(r'(\d+)-(a-class|examples)', column.subset or ''):
        return {PER_CLASS if match[2] == 'a-class' else IN_ALL: float(match[1])}
    if column.subset is not None:
        return {}
    for cell in column.cells.values():
        for record in cell.records:
            number, classes = record.get('dataset.num_train'), record.get('dataset.num_classes')
            if number and classes:
                return {PER_CLASS: round(number / classes, 1), IN_ALL: float(number)}
    return {}


def apart(values: list[float]) -> list[float]:
    """Those of the ascending values whose labels do not touch on a logarithmic axis; the last is kept."""
    whole = math.log(values[-1] / values[0]) or 1.0
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if math.log(kept[-1] / value) / whole >= CLOSEST:
            kept.append(value)
    return kept[::-1]
