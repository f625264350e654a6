"""Top-1 or mAP of every encoder under every corruption and severity as a heat map, with clean score and mean."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure, SubFigure

from eval.report.figures import PAPER_WIDTH_INCHES, style
from eval.report.sweeps import Sweep, sweeps
from eval.report.table import Table

ROW_HEIGHT = 0.16  # inches


def draw(table: Table) -> Figure:
    """Top-1 or mAP in every cell of a sweep: one block per encoder, one row per corruption, one column per severity.

    The first column is the clean score, the same in all rows of an encoder. The last one is the mean over severities,
    with the encoder's rank under that corruption in brackets. All blocks share one scale, from 0 to the best score.
    Columns of the table without a sweep are skipped.

    Raises:
        RecordError: if no column holds a sweep.
    """
    found = sweeps(table)
    most = max(len(sweep.scores) for sweep in found)
    heights = [len(sweep.corruptions) * ROW_HEIGHT + 0.55 for sweep in found]
    with style():
        figure = Figure(figsize=(max(PAPER_WIDTH_INCHES, 1.2 + 1.9 * most), sum(heights)), layout='constrained')
        parts = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
        for sweep, part in zip(found, parts):
            _draw_sweep(sweep, part)
    return figure


def _draw_sweep(sweep: Sweep, part: SubFigure) -> None:
    maps = {row: _cells(sweep, row) for row in sweep.scores}
    top = max(float(values.max()) for values in maps.values()) or 1.0
    panels = part.subplots(1, len(maps), squeeze=False)[0]
    part.suptitle('\n'.join([f'{sweep.name}: {sweep.score_name} (%)', *sweep.notes]), fontsize=7)
    for i, (axes, (row, values)) in enumerate(zip(panels, maps.items())):
        axes.imshow(values, vmin=0, vmax=top, cmap='viridis', aspect='auto')
        for (y, x), value in np.ndenumerate(values):
            rank = f' ({sweep.ranks(sweep.corruptions[y])[row]})' if x == values.shape[1] - 1 else ''
            ink = 'white' if value < 0.6 * top else 'black'
            axes.text(x, y, f'{value:.0f}{rank}', ha='center', va='center', fontsize=5, color=ink)
        clean, mean = sweep.accuracy(row)['clean'], sweep.of_corruption(row)
        axes.set_title(f'{row}\nclean {clean:.1f}, {sweep.mean_name} {mean:.1f}', fontsize=6.5)
        axes.set_xticks(range(values.shape[1]), ['clean', *map(str, sweep.severities), 'mean'], fontsize=6)
        labels = [corruption.replace('_', ' ') for corruption in sweep.corruptions]
        axes.set_yticks(range(len(labels)), labels if i == 0 else [], fontsize=6)
        axes.tick_params(length=0)


def _cells(sweep: Sweep, row: str) -> np.ndarray:
    """(corruptions, 1 + severities + 1): clean, each severity, their mean."""
    accuracy = sweep.accuracy(row)
    rows = [[accuracy[cell] for cell in sweep.cells(name)] for name in sweep.corruptions]
    return np.array([[accuracy['clean'], *cells, np.mean(cells)] for cells in rows])
