"""Top-1 or mAP of every encoder under every corruption as a heat map, with the clean score, means and ranks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from eval.report.figures import captioned, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._heat import Heat, draw_heat
from eval.report.figures._layout import SMALL, columns_of, even_lines, fitting, short_names, text_width
from eval.report.sweeps import Sweep, holds_sweep, sweeps
from eval.report.table import Table

MOST_IN_DETAIL = 4  # encoders of which every severity is shown
LEAST = {'page': 0.36, 'column': 0.33}  # inches of a cell
CELL, ROW_HEIGHT = 0.24, 0.125  # inches, in detail
COLOURS = 'YlGnBu'


def draw(table: Table, *, width: str = 'page') -> Figure:
    """Top-1 or mAP under every corruption, with the clean score, the mean over all and each encoder's rank.

    With up to four encoders and one sweep, each has a block: one row per corruption, one column per severity, then
    their mean. With more, each encoder has one row and each corruption one column, the mean over its severities. Ranks
    are in brackets, 1 is the best under that corruption. One scale for all, from 0 to the best score; the colour bar
    shows it. Columns of the table without a sweep are skipped.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        RecordError: if no column holds a sweep.
        FigureError: if the width is unknown.
    """
    inches = width_inches(width)
    found = sweeps(table)
    rows = [row for row in table.every_row if any(row in sweep.scores for sweep in found)]
    names = short_names(rows, width)
    in_detail = len(found) == 1 and len(rows) <= MOST_IN_DETAIL
    with style():
        figure = _in_detail(found[0], names, inches) if in_detail else _in_short(found, names, inches, LEAST[width])
    part = columns_of(table, holds_sweep)
    more = ['In brackets: rank under that corruption, 1 is the best']
    for sweep in found:
        which = f' of {sweep.name}' if len(found) > 1 else ''
        shown = 'each severity and their mean' if in_detail else 'the mean over its severities'
        more.append(f'Cells{which}: {sweep.score_name} in % on {sweep.num_videos} videos, {shown}')
        more += sweep.notes
    says = 'Score of each encoder under each corruption'
    return captioned(figure, caption(part, says, names=names, more=more, interval=False))


# --- one row an encoder ---------------------------------------------------------------------------------------------


def _in_short(found: list[Sweep], names: dict[str, str], inches: float, least: float) -> Figure:
    top = max(float(s.max()) for sweep in found for s in sweep.scores.values()) or 1.0
    pieces = [_columns(sweep, list(names)) for sweep in found]
    values = np.concatenate([piece[1] for piece in pieces], axis=1)
    texts = [[text for piece in pieces for text in piece[2][y]] for y in range(len(names))]
    heat = Heat(
        rows=list(names.values()),
        columns=[label for piece in pieces for label in piece[0]],
        shades=values / top,
        texts=texts,
        bold=np.array([[text.endswith('(1)') for text in line] for line in texts]),
        groups=[sweep.name for sweep, piece in zip(found, pieces) for _ in piece[0]] if len(found) > 1 else (),
    )
    return draw_heat(heat, inches, least, ('score (%):', ('0', f'{top / 2:.0f}', f'{top:.0f}')), upright=True)


def _columns(sweep: Sweep, rows: list[str]) -> tuple[list[str], np.ndarray, list[list[str]]]:
    """Labels, (rows, columns) values and their texts: clean, each corruption, the mean over all."""
    labels = [
        'clean\xa0↑',
        *(name.replace('_', ' ') + '\xa0↑' for name in sweep.corruptions),
        f'{sweep.mean_name}\xa0↑',
    ]
    values = np.full((len(rows), len(labels)), np.nan)
    texts = [['–'] * len(labels) for _ in rows]
    ranks = [None, *(sweep.ranks(name) for name in sweep.corruptions), sweep.ranks()]
    for y, row in enumerate(rows):
        if row not in sweep.scores:
            continue
        means = [sweep.of_corruption(row, name) for name in sweep.corruptions]
        values[y] = [sweep.accuracy(row)['clean'], *means, sweep.of_corruption(row)]
        texts[y] = [f'{v:.0f}' + (f' ({rank[row]})' if rank else '') for v, rank in zip(values[y], ranks)]
    return labels, values, texts


# --- one block an encoder -------------------------------------------------------------------------------------------


def _in_detail(sweep: Sweep, names: dict[str, str], inches: float) -> Figure:
    maps = {row: _cells(sweep, row) for row in names}
    top = max(float(values.max()) for values in maps.values()) or 1.0
    labels = [fitting(name.replace('_', ' '), 1.1, SMALL) for name in sweep.corruptions]
    left = max(text_width(label, SMALL) for label in labels) + 0.1
    block = CELL * (len(sweep.severities) + 2) + 0.25
    per_line = even_lines(len(maps), int((inches - left) / block))
    lines = -(-len(maps) // per_line)
    height = lines * (ROW_HEIGHT * len(labels) + 0.62) + 0.34
    figure = Figure(figsize=(inches, height), layout='constrained')
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    panels = figure.subplots(lines, per_line, squeeze=False).ravel()
    for i, (axes, (row, values)) in enumerate(zip(panels, maps.items())):
        _draw_block(axes, sweep, row, values, top)
        clean, mean = sweep.accuracy(row)['clean'], sweep.of_corruption(row)
        name = {'mPC': 'mPC'}.get(sweep.mean_name, 'mean')
        axes.set_title(f'{names[row]}\nclean {clean:.1f}, {name} {mean:.1f}', fontsize=6.5)
        axes.set_yticks(range(len(labels)), labels if i % per_line == 0 else [], fontsize=SMALL)
        axes.set_xlabel('severity', fontsize=SMALL)
    for axes in panels[len(maps) :]:
        axes.set_visible(False)
    shown = list(panels[: len(maps)])
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1.15 * top), COLOURS),
        ax=shown,
        location='bottom',
        shrink=min(1.0, 2.2 / inches),
        aspect=30,
        pad=0.02,
    )
    bar.ax.set_xlim(0, top)
    bar.set_label(f'{sweep.score_name} (%) ↑', fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, length=1.5)
    bar.outline.set_linewidth(0.4)
    return figure


def _draw_block(axes: Axes, sweep: Sweep, row: str, values: np.ndarray, top: float) -> None:
    axes.imshow(values, vmin=0, vmax=1.15 * top, cmap=COLOURS, aspect='auto')
    for (y, x), value in np.ndenumerate(values):
        rank = f' ({sweep.ranks(sweep.corruptions[y])[row]})' if x == values.shape[1] - 1 else ''
        ink = 'white' if value > 0.62 * top else '#111111'
        axes.text(x, y, f'{value:.0f}{rank}', ha='center', va='center_baseline', fontsize=SMALL, color=ink)
    axes.set_xticks(range(values.shape[1]), ['clean', *map(str, sweep.severities), 'mean'], fontsize=SMALL)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _cells(sweep: Sweep, row: str) -> np.ndarray:
    """(corruptions, 1 + severities + 1): clean, each severity, their mean."""
    accuracy = sweep.accuracy(row)
    rows = [[accuracy[cell] for cell in sweep.cells(name)] for name in sweep.corruptions]
    return np.array([[accuracy['clean'], *cells, np.mean(cells)] for cells in rows])
