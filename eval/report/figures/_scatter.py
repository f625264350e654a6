"""Points with intervals on both axes, and their names beside them where there is room."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from eval.report.figures._layout import SMALL, keep_out_of_layout, text_width
from eval.report.figures._looks import Look
from eval.report.statistics import Interval

ROOM_FOR_NAMES = 2.0  # inches of a panel
# Where a name may be: (right, up) from its point, in points; nearer ones first.
_SIDES = ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))


class Point(NamedTuple):
    """Where an encoder lies; an interval with NaN has no whisker."""

    x: Interval
    y: Interval


def draw_points(axes: Axes, points: Mapping[str, Point], look: Mapping[str, Look], markersize: float = 4.0) -> None:
    """Points in the colours and markers of their rows, with whiskers of their intervals."""
    for row, (x, y) in points.items():
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=_arms(x),
            yerr=_arms(y),
            markersize=markersize,
            mew=0.7,
            elinewidth=0.6,
            capsize=0,
            ecolor=look[row].colour,
            label=row,
            **look[row].line(),
        )
    keep_out_of_layout(axes)


def _arms(of: Interval) -> list[list[float]] | None:
    return None if math.isnan(of.low) else [[max(of.mean - of.low, 0)], [max(of.high - of.mean, 0)]]


def name_points(
    figure: Figure, panels: Mapping[Axes, Mapping[str, Point]], look: Mapping[str, Look], names: Mapping[str, str]
) -> None:
    """Write names beside points, in panels that are wide enough, where they cover no point and no other name."""
    if figure.get_figwidth() / next(iter(panels)).get_gridspec().ncols < ROOM_FOR_NAMES + 0.4:
        return
    figure.draw_without_rendering()  # so that the layout is known
    for axes, points in panels.items():
        if axes.bbox.width / figure.dpi < ROOM_FOR_NAMES:
            continue
        places = {row: axes.transData.transform((point.x.mean, point.y.mean)) for row, point in points.items()}
        radius = 3.0 * figure.dpi / 72
        taken = [Bbox([(x - radius, y - radius), (x + radius, y + radius)]) for x, y in places.values()]
        for point in points.values():
            taken += _whiskers(axes, point)
        for row, place in places.items():
            found = _free_place(figure, axes, place, names[row], taken)
            if found is None:
                continue
            box, (right, up) = found
            taken.append(box)
            axes.annotate(
                names[row],
                axes.transData.inverted().transform(place),
                (4.5 * right, 5.5 * up),
                textcoords='offset points',
                ha={1: 'left', 0: 'center', -1: 'right'}[right],
                va='center',
                fontsize=SMALL,
                color=look[row].colour if look[row].colour != '#BDBDBD' else '#777777',
                path_effects=[withStroke(linewidth=1.2, foreground='white')],
            )


def _whiskers(axes: Axes, point: Point) -> list[Bbox]:
    """Where the whiskers of a point lie."""
    found = []
    for of, along in ((point.x, 0), (point.y, 1)):
        if math.isnan(of.low):
            continue
        ends = []
        for value in (of.low, of.high):
            data = [point.x.mean, point.y.mean]
            data[along] = value
            ends.append(axes.transData.transform(data))
        found.append(Bbox([(ends[0][0] - 1, ends[0][1] - 1), (ends[1][0] + 1, ends[1][1] + 1)]))
    return found


def _free_place(
    figure: Figure, axes: Axes, place: tuple[float, float], name: str, taken: list[Bbox]
) -> tuple[Bbox, tuple[int, int]] | None:
    point = figure.dpi / 72
    wide, high = text_width(name, SMALL) * figure.dpi, 1.15 * SMALL * point
    for right, up in _SIDES:
        x = place[0] + 4.5 * right * point - wide * {1: 0.0, 0: 0.5, -1: 1.0}[right]
        y = place[1] + 5.5 * up * point - high / 2
        box = Bbox([(x, y), (x + wide, y + high)])
        inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
        if inside and not any(box.overlaps(other) for other in taken):
            return box, (right, up)
    return None
