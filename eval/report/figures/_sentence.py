"""A figure that says why there is nothing to draw."""

from __future__ import annotations

from matplotlib.figure import Figure

from eval.report.figures import style
from eval.report.figures._layout import GREY, wrapped


def draw_sentence(text: str, inches: float) -> Figure:
    """The text, in lines of that width."""
    lines = wrapped(text, inches - 0.2, 7)
    with style():
        height = 0.13 * (lines.count('\n') + 1) + 0.2
        figure = Figure(figsize=(inches, height))
        figure.text(0.1 / inches, 1 - 0.1 / height, lines, fontsize=7, color=GREY, va='top', linespacing=1.2)
    return figure
