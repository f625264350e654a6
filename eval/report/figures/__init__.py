"""Figures drawn from records alone; one file a figure, found by walking this folder. No torch.

Each file has `draw(records, allow_partial=False, summary=None) -> Figure`, whose docstring begins with a
sentence on what it shows. It draws the records in the order given (`eval.report.table.select`) and refuses unlike ones
(`eval.report.table.columns`). `with style():` gives every figure the same type, `colours` gives an encoder the same
colour in each.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from sigma.errors import did_you_mean
from sigma.files import write_atomic

PAPER_WIDTH_INCHES = 7.0  # both columns of a two-column page
COLUMN_WIDTH_INCHES = 3.4

# Okabe and Ito's colours: told apart with any colour vision. Grey is kept for random weights.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#F0E442')
BASELINE_COLOUR = '#9A9A9A'

# ending -> what to leave out of the file, so that the same figure gives the same bytes
FORMATS = {
    '.png': {'Software': None},
    '.svg': {'Date': None, 'Creator': None},
    '.pdf': {'CreationDate': None, 'Creator': None, 'Producer': None},
}


class FigureError(ValueError):
    """A figure that is not known or cannot be written; the message is a sentence for the user."""


def figure_names() -> list[str]:
    """Names of the figures in this folder, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith('_'))


def load_figure(name: str) -> Callable[..., Figure]:
    """The `draw` of a figure.

    Raises:
        FigureError: if there is none of that name (with the nearest one).
    """
    if name not in figure_names():
        raise FigureError(did_you_mean('figure', name, figure_names()))
    return importlib.import_module(f'{__name__}.{name}').draw


def style() -> AbstractContextManager:
    """Context in which figures are drawn and written: type of 7 to 8 points at paper width, no frame."""
    return matplotlib.rc_context(
        {
            **{key: value for key, value in matplotlib.rcParamsDefault.items() if key != 'backend'},
            'font.size': 8,
            'axes.labelsize': 8,
            'xtick.labelsize': 7.5,
            'ytick.labelsize': 7.5,
            'legend.fontsize': 7.5,
            'legend.frameon': False,
            'axes.spines.top': False,
            'axes.spines.right': False,
            'axes.linewidth': 0.6,
            'axes.axisbelow': True,
            'xtick.major.width': 0.6,
            'ytick.major.width': 0.6,
            'hatch.linewidth': 0.6,
            'savefig.dpi': 300,
            'svg.hashsalt': 'sigma',
            'pdf.fonttype': 42,
        }
    )


def colours(rows: Sequence[str], baseline: str = 'random') -> dict[str, tuple[str, str]]:
    """Colour and hatch of each row of a table; hatches begin where the colours are used up."""
    learnt = [row for row in rows if row != baseline]
    hatches = ('', '////', '....', 'xxxx')
    given = {
        row: (PALETTE[i % len(PALETTE)], hatches[i // len(PALETTE) % len(hatches)]) for i, row in enumerate(learnt)
    }
    return {row: given.get(row, (BASELINE_COLOUR, '')) for row in rows}


def render(figure: Figure, ending: str) -> bytes:
    """The figure as a file of that ending (.png, .svg, .pdf); the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=ending.removeprefix('.'), metadata=FORMATS[ending])
    return buffer.getvalue()


def save_figure(figure: Figure, out: str | Path) -> list[Path]:
    """Writes a figure; without an ending as PNG and as SVG. Each file whole or not at all; returns the paths.

    Raises:
        FigureError: on an ending that is not one of `FORMATS`, or if the place cannot be written.
    """
    out = Path(out)
    if out.suffix and out.suffix not in FORMATS:
        raise FigureError(f'{out} ends in {out.suffix}; give {", ".join(FORMATS)}, or no ending for PNG and SVG')
    paths = [out] if out.suffix else [out.with_name(out.name + ending) for ending in ('.png', '.svg')]
    for path in (out, *paths):
        if path.is_dir():
            raise FigureError(f'{path} is a folder; give the name of a file')
    # All are drawn before the first is written.
    files = [(path, render(figure, path.suffix)) for path in paths]
    try:
        return [write_atomic(path, data) for path, data in files]
    except OSError as error:
        raise FigureError(f'{out} cannot be written: {error.strerror}') from error
