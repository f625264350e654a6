"""Grouped bars: encoders side by side in each column of the results table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from functools import lru_cache

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from eval.metrics.metric import UNIFORM
from eval.report import INCOMPLETE, LEFT_OUT
from eval.report.figures import COLUMN_WIDTH_INCHES, PAPER_WIDTH_INCHES, colours, style
from eval.report.notes import COMMONEST, chance_note, partial_notes, published_notes, seed_notes, summary_notes
from eval.report.table import Column, Table, TableCell

# Sizes in inches. The x axis is in inches too, so we know what fits before drawing.
MIN_SLOT, MAX_SLOT = 0.30, 0.46  # width of a bar with its value above it
GAP = 0.28  # between groups
CHARACTER = 0.053  # width of a letter in the notes
MARGIN = 0.62  # width of the y axis
AXES_HEIGHT = 2.0
INK = '#222222'
COMMONEST_LINE = (0, (1, 1.5))


def draw(table: Table) -> Figure:
    """How each encoder scores in each protocol and dataset: mean, 95 % interval, single seeds, and chance.

    Each group is a column of the results table, each bar an encoder. Whiskers cover seeds and the choice of test videos
    (eval.report.statistics.interval). A star marks a bar whose runs did not score all videos; a note below says how
    many. A pale bar with an exclamation mark scored too few videos to count in a mean. Metrics in other units than
    percent are on separate lines, with their own scale.
    """
    names = table.rows
    groups_per_line, pitch, slot = _fit(table, len(names))
    by_unit: dict[str, list[Column]] = {}
    for column in table.columns:
        by_unit.setdefault(column.unit, []).append(column)
    lines = [
        alike[i : i + groups_per_line] for alike in by_unit.values() for i in range(0, len(alike), groups_per_line)
    ]
    width = max(COLUMN_WIDTH_INCHES, MARGIN + groups_per_line * pitch)
    with style():
        figure = Figure(figsize=(width, 1), layout='constrained')
        all_axes = figure.subplots(len(lines), 1, squeeze=False)[:, 0]
        look = colours(names)
        for axes, line in zip(all_axes, lines):
            for i, column in enumerate(line):
                _draw_group(axes, column, names, look, (i + 0.5) * pitch, slot)
            spare = (width - MARGIN - groups_per_line * pitch) / 2
            axes.set_xlim(-spare, groups_per_line * pitch + spare)
            axes.set_xticks([(i + 0.5) * pitch for i in range(len(line))], [_tick_label(c, table) for c in line])
            _dress(axes, by_unit[line[0].unit])
        legend_lines = _legend(figure, table, names, look, width)
        note = '\n'.join(_notes(table, int((width - 0.1) / CHARACTER)))
        figure.supxlabel(note, fontsize=6.5, x=0.01, ha='left', color='#444444', linespacing=1.25)
        labels = max(len(_tick_label(column, table).splitlines()) for column in table.columns)
        text_lines = len(lines) * labels + legend_lines + note.count('\n') + 1
        figure.set_figheight(len(lines) * AXES_HEIGHT + 0.15 * text_lines + 0.15)
    return figure


def _fit(table: Table, num_rows: int) -> tuple[int, float, float]:
    """Groups on a line, width of a group with its gap, width of a bar's slot; inches."""
    label = max(_width(text) for column in table.columns for text in _tick_label(column, table).splitlines())
    room = PAPER_WIDTH_INCHES - MARGIN
    slot = min(MIN_SLOT, (room - GAP) / num_rows)
    pitch = max(num_rows * slot + GAP, label + 0.1)
    # Lines as even as possible: 4 and 4 rather than 7 and 1.
    num_lines = math.ceil(len(table.columns) / max(1, int(room / pitch)))
    per_line = math.ceil(len(table.columns) / num_lines)
    pitch = min(room / per_line, max(num_rows * MAX_SLOT + GAP, label + 0.1))
    return per_line, pitch, min(MAX_SLOT, (pitch - GAP) / num_rows)


@lru_cache(maxsize=1024)
def _width(text: str, points: float = 7.5) -> float:
    """Width of a line of text in inches."""
    return TextPath((0, 0), text, size=points).get_extents().width / 72 if text.strip() else 0.0


def _draw_group(axes: Axes, column: Column, names: list[str], look: dict, middle: float, slot: float) -> None:
    left = middle - slot * len(names) / 2
    for i, name in enumerate(names):
        x = left + (i + 0.5) * slot
        if name in column.cells:
            _draw_bar(axes, column, column.cells[name], look[name], x, slot)
        else:
            axes.annotate(
                'no mean' if column.is_summary else 'missing',
                (x, 0),
                (0, 3),
                textcoords='offset points',
                rotation=90,
                ha='center',
                va='bottom',
                fontsize=6.5,
                color='#777777',
                path_effects=[withStroke(linewidth=1.5, foreground='white')],
            )
    if column.chance is not None:
        axes.hlines(
            column.chance,
            left - 0.05,
            left + slot * len(names) + 0.05,
            color=INK,
            linewidth=0.8,
            linestyle=(0, (4, 2)),
        )
    if column.is_unbalanced and column.commonest is not None:
        ends = left - 0.05, left + slot * len(names) + 0.05
        axes.hlines(column.commonest, *ends, color=INK, linewidth=0.8, linestyle=COMMONEST_LINE)


def _draw_bar(axes: Axes, column: Column, cell: TableCell, look: tuple[str, str], x: float, slot: float) -> None:
    colour, hatch = look
    mean, low, high = cell.interval[:3]
    alpha = 0.4 if cell.left_out else None
    axes.bar(x, mean, 0.86 * slot, color=colour, hatch=hatch, edgecolor='white', linewidth=0, alpha=alpha)
    top = mean
    if not math.isnan(low):
        axes.errorbar(x, mean, [[mean - low], [high - mean]], color=INK, linewidth=0.9, capsize=2, capthick=0.9)
        top = high
    scores = cell.scores
    if len(scores) > 1:
        # Circles beside the whisker: left, right, and further out.
        out = [0.16 + 0.2 * (i // 2) / max(1, (len(scores) - 1) // 2) for i in range(len(scores))]
        side = [x + slot * reach * (-1 if i % 2 == 0 else 1) for i, reach in enumerate(out)]
        axes.plot(
            side,
            scores,
            'o',
            markersize=2.4,
            markerfacecolor='white',
            markeredgecolor=INK,
            markeredgewidth=0.5,
        )
        top = max(top, *scores)
    axes.annotate(
        f'{column.text(mean)}{cell.mark}',
        (x, top),
        (0, 2),
        textcoords='offset points',
        ha='center',
        va='bottom',
        fontsize=6.5,
        rotation=0 if slot >= (MIN_SLOT if column.unit == 'percent' else MAX_SLOT) else 90,
        path_effects=[withStroke(linewidth=1.5, foreground='white')],
    )


def _dress(axes: Axes, alike: Sequence[Column]) -> None:
    """Scale and labels of one line of groups; `alike` are all columns of its unit, which share the scale."""
    axes.tick_params(axis='x', length=0)
    cells = [cell for column in alike for cell in column.cells.values()]
    tops = [max([cell.interval.mean, *cell.scores, *_known(cell.interval.high)]) for cell in cells]
    highest = max(
        [0.0, *tops, *(column.chance or 0 for column in alike), *(column.commonest or 0 for column in alike)]
    )  # a summary may have no bar
    percent = alike[0].unit == 'percent'
    top = max(1.1 * highest, 1 if percent else 0.01)
    axes.set_ylim(0, top)
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, highest)
    # Room for the values above the bars, without a tick above 100 %.
    axes.set_yticks([tick for tick in ticks if tick <= (100 if percent and highest <= 100 else top)])
    axes.grid(axis='y', color='#DDDDDD', linewidth=0.5)
    metrics = {column.metric_label for column in alike if not column.is_summary}
    unit = '%' if percent else alike[0].unit
    axes.set_ylabel((metrics.pop() if len(metrics) == 1 else 'score') + f' ({unit})')


def _known(value: float) -> list[float]:
    return [] if math.isnan(value) else [value]


def _tick_label(column: Column, table: Table) -> str:
    """Name of a group; every group has the same number of lines."""
    text = [column.protocol.replace('_', ' '), column.dataset]
    if any(other.subset for other in table.columns):
        text.append('' if column.is_summary else (column.subset or 'all clips'))
    if len({other.metric for other in table.measured}) > 1:
        text.append('' if column.is_summary else column.metric_label)
    if not all(other.higher_is_better for other in table.columns):
        text.append('' if column.higher_is_better else '(lower is better)')
    counts = sorted({cell.interval.num_videos for cell in column.cells.values()} - {0})
    text.append(f'{_range(counts)} test videos' if counts else '')
    return '\n'.join(text)


def _range(values: Sequence[int]) -> str:
    return f'{min(values)}' if min(values) == max(values) else f'{min(values)}–{max(values)}'


def _legend(figure: Figure, table: Table, names: list[str], look: dict, width: float) -> int:
    """Draws the legend above the axes; returns its number of lines."""
    handles: list[Artist] = []
    labels = []
    same = len(set(_num_seeds(table))) <= 1
    for name in names:
        colour, hatch = look[name]
        handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor='white', linewidth=0))
        seeds = [len(column.cells[name].records) for column in table.measured if name in column.cells]
        published = all(column.cells[name].published for column in table.columns if name in column.cells)
        labels.append(name if published or same else f'{name} (n={_range(seeds)})')
    if any(column.chance is not None for column in table.columns):
        handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=(0, (4, 2))))
        labels.append('chance')
    if any(column.is_unbalanced for column in table.columns):
        handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=COMMONEST_LINE))
        labels.append('commonest class')
    per_line = len(labels)
    while per_line > 1 and sum(max(map(_entry_width, labels[i::per_line])) for i in range(per_line)) > width - 0.1:
        per_line -= 1
    # Matplotlib fills the legend by column; this order reads line by line.
    order = [i for first in range(per_line) for i in range(first, len(labels), per_line)]
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc='outside upper center',
        ncols=per_line,
        handlelength=1.4,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    return math.ceil(len(labels) / per_line)


def _entry_width(label: str) -> float:
    return _width(label) + 0.38  # with its patch and the space around it


def _num_seeds(table: Table) -> list[int]:
    """Number of seeds of each bar, without published ones."""
    return [len(cell.records) for cell in table.cells if not cell.published]


def _notes(table: Table, num_characters: int) -> list[str]:
    seeds, notes = _num_seeds(table), []
    if seeds and max(seeds) > 1:
        num = f'{seeds[0]}' if len(set(seeds)) == 1 else 'n'
        notes.append(f'Bars: mean over {num} seeds, each a circle. Whiskers: 95 % interval over seeds and test videos.')
    if seeds and min(seeds) == 1:
        which = 'Whiskers (one seed)' if max(seeds) == 1 else 'Where n is 1'
        notes.append(f'{which}: 95 % interval over test videos only.')
    for note in seed_notes(table):
        if not note.startswith('n=1'):
            notes.append(f'{note[0].upper()}{note[1:]}.')
    if (chance := chance_note(table)) not in ('', UNIFORM):
        notes.append(f'Chance: {chance}.')
    if any(column.is_unbalanced for column in table.columns):
        notes.append(f'{COMMONEST[0].upper()}{COMMONEST[1:]}.')
    for left_out, said in [
        (False, f'{INCOMPLETE} Not all videos scored'),
        (True, f'{LEFT_OUT} Too few videos scored to count in a mean'),
    ]:
        if partial := partial_notes(table, left_out):
            more = [f'and {len(partial) - 4} more bars'] if len(partial) > 4 else []
            notes.append(f'{said}: ' + '; '.join(partial[:4] + more) + '.')
    notes += [f'{note[0].upper()}{note[1:]}.' for note in summary_notes(table) + published_notes(table)]
    return [line for note in notes for line in textwrap.wrap(note, num_characters)]
