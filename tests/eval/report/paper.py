"""What is wrong with a figure on paper: texts that are cut off, too small, or lie on one another."""

from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text

from eval.report.figures import style

SMALLEST_POINTS = 6.0
DPI = 300  # with fewer, hinting changes the widths of letters
SLACK = 2.5  # pixels: 0.6 points


def texts_of(figure: Figure | SubFigure) -> list[Text]:
    """All texts that are drawn: titles, labels, ticks within the axes, notes, legends."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.texts)]
    for name in ('_suptitle', '_supxlabel', '_supylabel'):
        if getattr(figure, name, None) is not None:
            found.append(getattr(figure, name))
    for axes in figure.axes:
        if axes.get_visible():
            found += _texts_of_axes(axes)
    return [text for text in dict.fromkeys(found) if text.get_visible() and text.get_text().strip()]


def _texts_of_axes(axes: Axes) -> list[Text]:
    found = [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label, axes.xaxis.offsetText, axes.yaxis.offsetText]
    for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
        for tick in axis._update_ticks():  # only those that are drawn
            found += [tick.label1, tick.label2]
    legend = axes.get_legend()
    return found + (list(legend.texts) if legend else [])


def faults(figure: Figure) -> list[str]:
    """Sentences on what is wrong; empty for a figure that can go into a paper."""
    figure.set_dpi(DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()
    with style():
        figure.draw_without_rendering()  # does the layout
        texts = texts_of(figure)
        boxes = [text.get_window_extent(renderer) for text in texts]
    found = []
    for text, box in zip(texts, boxes):
        said = repr(text.get_text())
        if text.get_fontsize() < SMALLEST_POINTS:
            found.append(f'{said} has {text.get_fontsize()} points')
        inside = box.x0 >= -SLACK and box.y0 >= -SLACK
        if not (inside and box.x1 <= figure.bbox.x1 + SLACK and box.y1 <= figure.bbox.y1 + SLACK):
            found.append(f'{said} is cut off: {box.extents.round(1)} in {figure.bbox.extents.round(1)}')
    for (a, box), (b, other) in combinations(zip(texts, boxes), 2):
        wide = min(box.x1, other.x1) - max(box.x0, other.x0)
        high = min(box.y1, other.y1) - max(box.y0, other.y0)
        if wide > SLACK and high > SLACK:
            found.append(f'{a.get_text()!r} lies on {b.get_text()!r} ({wide:.1f} x {high:.1f})')
    return found
