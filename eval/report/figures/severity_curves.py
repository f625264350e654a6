"""Top-1 or mAP against severity: one panel per corruption, one line per encoder, with intervals and chance."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from eval.report.figures import captioned, looks, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import (
    CHANCE_STYLE,
    SMALL,
    chance_handle,
    columns_of,
    fitting,
    line_handles,
    short_names,
)
from eval.report.figures._panels import MOST_BANDS, draw_line, is_outer, panel_grid
from eval.report.statistics import Interval, interval
from eval.report.sweeps import Sweep, holds_sweep, sweeps
from eval.report.table import Column, Table

# Inches of a panel; with more lines than have intervals, panels are larger.
LEAST = {'page': 1.15, 'column': 1.05}
LEAST_OF_MANY = {'page': 1.7, 'column': 1.6}
HEIGHT, HEIGHT_OF_MANY = 1.08, 1.35


def draw(table: Table, *, width: str = 'page') -> Figure:
    """How the score falls with the severity of each corruption, starting from clean videos (severity 0).

    Severities are evenly spaced; each corruption defines its own (eval/corruptions), and on some published scales a
    higher severity does not do more damage. Areas are 95 % intervals over seeds and test videos; for mAP, which is no
    mean over videos, they are the range of the seeds. With more than eight encoders there are no areas. The dashed line
    is chance. Columns without a sweep are skipped; of several sweeps, each has its own panels.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        RecordError: if no column holds a sweep.
        FigureError: if the width is unknown.
    """
    inches = width_inches(width)
    found = sweeps(table)
    columns = {column.name: column for column in table.measured if holds_sweep(column)}
    rows = [row for row in table.every_row if any(row in sweep.scores for sweep in found)]
    look, names = looks(table), short_names(rows, width)
    bands = len(rows) <= MOST_BANDS
    has_chance = any(columns[sweep.name].chance is not None for sweep in found)
    labels = [names[row] for row in rows] + ['chance'] * has_chance
    panels = [(sweep, corruption) for sweep in found for corruption in sweep.corruptions]
    with style():
        handles = line_handles(look, rows) + [chance_handle()] * has_chance
        least, height = (LEAST[width], HEIGHT) if bands else (LEAST_OF_MANY[width], HEIGHT_OF_MANY)
        figure, all_axes = panel_grid(len(panels), inches, least, height, handles, labels, sharey=True)
        for axes, (sweep, corruption) in zip(all_axes, panels):
            for row in rows:
                if row in sweep.scores:
                    steps = [_interval(sweep, row, name) for name in ('clean', *sweep.cells(corruption))]
                    means, lows, highs = zip(*(step[:3] for step in steps))
                    draw_line(axes, look[row], [0, *sweep.severities], means, lows, highs, bands, row)
            if (chance := columns[sweep.name].chance) is not None:
                axes.axhline(chance, **CHANCE_STYLE)
            title = corruption.replace('_', ' ')
            several = f'{sweep.name}\n' if len(found) > 1 else ''
            axes.set_title(several + fitting(title, inches / 3 if width == 'column' else 1.1, 6.5), fontsize=6.5)
            axes.set_xticks([0, *sweep.severities])
            axes.tick_params(labelsize=SMALL)
            first, last = is_outer(axes, all_axes)
            if first:
                axes.set_ylabel(f'{sweep.score_name} (%) ↑', fontsize=SMALL)
            if last:
                axes.set_xlabel('severity', fontsize=SMALL)
        best = max(scores.max() for sweep in found for scores in sweep.scores.values())
        all_axes[0].set_ylim(0, 1.05 * best or 1)
    return captioned(figure, _caption(table, found, names, columns, bands))


def _interval(sweep: Sweep, row: str, cell: str) -> Interval:
    """Mean and interval of a cell: over seeds and videos if the score is a mean over videos, else the seeds' range."""
    where = sweep.columns.index(cell)
    per_seed = sweep.scores[row][:, where]
    if sweep.correct is not None:
        return interval([seed[:, where] for seed in sweep.correct[row]])
    low, high = (math.nan, math.nan) if len(per_seed) == 1 else (per_seed.min(), per_seed.max())
    return Interval(float(per_seed.mean()), low, high, len(per_seed), sweep.num_videos, 'range of the seeds')


def _caption(table: Table, found: list[Sweep], names: dict[str, str], columns: dict[str, Column], bands: bool) -> str:
    part = columns_of(table, holds_sweep)
    more = [f'{sweep.name}: {sweep.num_videos} videos that all encoders scored' for sweep in found]
    if not bands:
        more.append(f'Intervals are not drawn for more than {MOST_BANDS} encoders')
    elif any(sweep.correct is None for sweep in found):
        more.append('Areas of mAP are the range over seeds')
    for sweep in found:
        if absent := [names[row] for row in names if row not in sweep.scores]:
            more.append(f'Missing in {sweep.name}: {", ".join(absent)}')
        more += sweep.notes
    says = 'Score against the severity of each corruption; 0 is clean. Severities are those of the corruption'
    return caption(part, says, names=names, more=more, interval=bands, chance=True)
