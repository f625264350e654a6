"""Top-1 or mAP against severity: one panel per corruption, one line per encoder, clean videos at severity 0."""

from __future__ import annotations

import math

from matplotlib.figure import Figure, SubFigure

from eval.report.figures import PAPER_WIDTH_INCHES, colours, style
from eval.report.sweeps import Sweep, sweeps
from eval.report.table import Table

PANELS_A_LINE = 6
PANEL_HEIGHT = 1.15  # inches


def draw(table: Table) -> Figure:
    """How the score falls with the severity of each corruption, starting from clean videos (severity 0).

    Severities are evenly spaced; each corruption defines its own (eval/corruptions), and on some published scales a
    higher severity does not do more damage. Shaded areas are the range over seeds. Columns without a sweep are skipped.

    Raises:
        RecordError: if no column holds a sweep.
    """
    found = sweeps(table)
    names = list(dict.fromkeys(row for sweep in found for row in sweep.scores))
    look = colours(names)
    lines = [math.ceil(len(sweep.corruptions) / PANELS_A_LINE) for sweep in found]
    with style():
        figure = Figure(
            figsize=(PAPER_WIDTH_INCHES, PANEL_HEIGHT * sum(lines) + 0.45 * len(found)), layout='constrained'
        )
        parts = figure.subfigures(len(found), 1, height_ratios=lines, squeeze=False)[:, 0]
        for sweep, part, num_lines in zip(found, parts, lines):
            _draw_sweep(sweep, part, num_lines, look)
        handles = [axis_line for axis_line in parts[0].axes[0].lines if axis_line.get_label() in look]
        figure.legend(handles=handles, loc='outside lower center', ncols=min(4, len(handles)))
    return figure


def _draw_sweep(sweep: Sweep, part: SubFigure, num_lines: int, look: dict[str, tuple[str, str]]) -> None:
    part.suptitle('\n'.join([_title(sweep), *sweep.notes]), fontsize=7)
    width = min(PANELS_A_LINE, len(sweep.corruptions))
    panels = part.subplots(num_lines, width, sharex=True, sharey=True, squeeze=False).ravel()
    for corruption, axes in zip(sweep.corruptions, panels):
        axes.set_title(corruption.replace('_', ' '), fontsize=6.5, pad=2)
        for row, scores in sweep.scores.items():
            where = [sweep.columns.index(name) for name in ('clean', *sweep.cells(corruption))]
            per_seed = scores[:, where]  # (S, 1 + severities)
            x, colour = [0, *sweep.severities], look[row][0]
            axes.plot(x, per_seed.mean(axis=0), color=colour, label=row, linewidth=1.1, marker='o', markersize=2)
            axes.fill_between(x, per_seed.min(axis=0), per_seed.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        axes.set_xticks([0, *sweep.severities])
    panels[0].set_ylim(0, 1.05 * max(scores.max() for scores in sweep.scores.values()) or 1)
    for axes in panels[len(sweep.corruptions) :]:
        axes.set_visible(False)
    part.supylabel(f'{sweep.score_name} (%)', fontsize=7)


def _title(sweep: Sweep) -> str:
    return f'{sweep.name}, {sweep.num_videos} videos; x: severity, 0 is clean'
