"""Small multiples: a grid of panels that fits the paper, and the lines with intervals that are drawn in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.report.figures._layout import even_lines, keep_out_of_layout, legend, legend_lines
from eval.report.figures._looks import Look

MOST_BANDS = 8  # with more lines, intervals as areas hide each other


def panel_grid(
    number: int,
    inches: float,
    least: float,
    height: float,
    handles: Sequence[Artist] = (),
    labels: Sequence[str] = (),
    *,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels, in lines as even as possible, and a legend above them.

    Args:
        number: Panels.
        inches: Width of the figure.
        least: Least width of a panel with its labels.
        height: Height of a panel with its labels.
        handles, labels: Of the legend.
        sharex, sharey: Whether panels share their scale; then only the outer ones have labels.
    """
    per_line = even_lines(number, int(inches / least))
    lines = math.ceil(number / per_line)
    figure = Figure(
        figsize=(inches, lines * height + 0.135 * legend_lines(labels, inches) + 0.12), layout='constrained'
    )
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    panels = figure.subplots(lines, per_line, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for place in range(number, lines * per_line):
        panels[place].set_visible(False)
        panels[place - per_line].tick_params(labelbottom=True)
    legend(figure, handles, labels, inches)
    return figure, list(panels[:number])


def is_outer(axes: Axes, panels: Sequence[Axes]) -> tuple[bool, bool]:
    """Whether a panel is the first of its line, and whether no panel stands below it."""
    spec = axes.get_subplotspec()
    below = any(
        other.get_subplotspec().rowspan.start > spec.rowspan.start
        and other.get_subplotspec().colspan.start == spec.colspan.start
        for other in panels
    )
    return spec.colspan.start == 0, not below


def draw_line(
    axes: Axes,
    look: Look,
    x: Sequence[float],
    means: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    bands: bool,
    label: str,
) -> None:
    """A line with a marker at each value, and its interval as an area; NaN in an interval leaves a gap."""
    axes.plot(x, means, linewidth=0.9, markersize=2.2, markeredgewidth=0.5, label=label, **look.line())
    if bands and not np.isnan(lows).all():
        axes.fill_between(x, lows, highs, color=look.colour, alpha=0.12, linewidth=0)
    keep_out_of_layout(axes)
