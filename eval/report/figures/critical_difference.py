"""Critical-difference diagram: average ranks of encoders over columns; bars join those that no test tells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.report.aligned import short_name
from eval.report.figures import captioned, style, width_inches
from eval.report.figures._caption import caption
from eval.report.figures._layout import GREY, INK, columns_of, short_names, text_width
from eval.report.figures._looks import Look, looks
from eval.report.figures._sentence import draw_sentence
from eval.report.ranks import CriticalDifference, critical_difference
from eval.report.table import Table

# Sizes in inches; the axes are in inches too.
LINE, LEVEL = 0.135, 0.06  # between two names, between two bars
TOP = 0.42  # the scale and the critical difference
POINTS = 6.5


def draw(table: Table, *, width: str = 'page') -> Figure:
    """Average rank of each encoder over the columns that all have, and the critical difference of Nemenyi's test.

    The best is on the left. A thick bar joins encoders whose average ranks lie within the critical difference, so that
    nothing tells them apart. With fewer than five columns or three encoders the figure says so in a sentence. Random
    weights are left out. Source: Demsar, JMLR 2006.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if the width is unknown.
    """
    inches = width_inches(width)
    found = critical_difference(table)
    says = 'Average ranks of encoders over columns (1 is the best) and the critical difference'
    if not found.drawable:
        return captioned(draw_sentence(' '.join(found.sentences), inches), ' '.join([f'{says}.', *found.sentences]))
    names = short_names(found.rows, width)
    with style():
        figure = _draw(found, names, looks(table), inches)
    keys = {column.key for column in found.columns}
    part = columns_of(table, lambda column: column.key in keys)
    over = f'Columns: {", ".join(short_name(table, column) for column in found.columns)}'
    joined = 'A bar joins encoders that no test tells apart; random weights are left out'
    return captioned(figure, caption(part, says, names=names, more=[joined, over, *found.sentences], interval=False))


def _draw(found: CriticalDifference, names: Mapping[str, str], look: Mapping[str, Look], inches: float) -> Figure:
    num = len(found.rows)
    half = (num + 1) // 2
    labels = [f'{names[row]}  {rank:.2f}' for row, rank in zip(found.rows, found.ranks)]
    left, right = (
        1.04 * max(text_width(label, POINTS) for label in part) + 0.12 for part in (labels[:half], labels[half:])
    )
    levels = _levels(found.groups)
    below = TOP + 0.1 + LEVEL * (max(levels, default=-1) + 1)  # where the names begin
    height = below + LINE * half + 0.05
    start, stop = left + 0.12, inches - right - 0.12

    def place(rank: float) -> float:
        return start + (stop - start) * (rank - 1) / (num - 1)

    figure = Figure(figsize=(inches, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, inches)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.set(xticks=[], yticks=[])
    _draw_scale(axes, found, [place(rank) for rank in range(1, num + 1)], place(2) - place(1))
    for i, row in enumerate(found.rows):
        is_left = i < half
        line = below + LINE * ((i if is_left else num - 1 - i) + 0.5)
        end = left if is_left else inches - right
        x = place(found.ranks[i])
        axes.plot([x, x, end], [TOP, line, line], color=look[row].colour, linewidth=0.8, linestyle=look[row].dashes)
        axes.plot(x, TOP, markersize=3, clip_on=False, zorder=3, **look[row].line() | {'linestyle': ''})
        text = labels[i] if is_left else f'{found.ranks[i]:.2f}  {names[row]}'
        side = 'right' if is_left else 'left'
        axes.text(end + (-0.05 if is_left else 0.05), line, text, ha=side, va='center', fontsize=POINTS, color=INK)
    for (first, last), level in zip(found.groups, levels):
        y = TOP + 0.09 + LEVEL * level
        ends = place(found.ranks[first]) - 0.03, place(found.ranks[last]) + 0.03
        axes.plot(ends, [y, y], color=INK, linewidth=2.2, solid_capstyle='butt', zorder=4)
    return figure


def _draw_scale(axes: Axes, found: CriticalDifference, places: Sequence[float], unit: float) -> None:
    """The scale of ranks and, above it, how far apart two must be."""
    assert found.difference is not None
    num = len(places)
    axes.plot([places[0], places[-1]], [TOP, TOP], color=INK, linewidth=0.8)
    step = next(step for step in (1, 2, 5, 10, 20, 50) if step * unit > 0.17 or step >= num)
    for rank, x in enumerate(places, start=1):
        axes.plot([x, x], [TOP - (0.05 if rank % step == 0 or rank == 1 else 0.025), TOP], color=INK, linewidth=0.6)
        if rank % step == 0 or (rank == 1 and step * unit > 0.17):
            axes.text(x, TOP - 0.07, f'{rank}', ha='center', va='bottom', fontsize=6, color=INK)
    length = found.difference * unit
    y = 0.17
    axes.plot([places[0], places[0] + length], [y, y], color=INK, linewidth=1.0)
    for end in (places[0], places[0] + length):
        axes.plot([end, end], [y - 0.025, y + 0.025], color=INK, linewidth=1.0)
    text = f'critical difference {found.difference:.2f}'
    axes.text(places[0], y - 0.035, text, ha='left', va='bottom', fontsize=6, color=GREY)


def _levels(groups: Sequence[tuple[int, int]]) -> list[int]:
    """A level for each bar, so that bars that share an encoder are not on one."""
    last_of: list[int] = []
    found = []
    for first, last in groups:
        level = next((i for i, end in enumerate(last_of) if end < first), len(last_of))
        last_of[level : level + 1] = [last]
        found.append(level)
    return found
