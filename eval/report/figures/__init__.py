"""Figures of results: one file per figure, found by walking this folder. No torch.

Each file has `draw(table) -> Figure`, whose docstring starts with a sentence on what the figure shows; it draws the
columns and rows of an `eval.report.table.Table` in their order. `corruption_sheet` alone is drawn from a video. Draw
inside `with style():` so that all figures look alike, and take colours from `colours`, so that an encoder has the same
colour in all of them. Matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import runpy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sigma.configs import CONFIG_ROOT, walk_sentences
from sigma.errors import SigmaError, did_you_mean
from sigma.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER_WIDTH_INCHES = 7.0  # both columns of a two-column page
COLUMN_WIDTH_INCHES = 3.4

# Okabe and Ito's colours, which people with any colour vision can tell apart. Grey is reserved for random weights.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#F0E442')
BASELINE_COLOUR = '#9A9A9A'

# ending -> metadata to leave out of the file, so that the same figure gives the same bytes
FORMATS = {
    '.png': {'Software': None},
    '.svg': {'Date': None, 'Creator': None},
    '.pdf': {'CreationDate': None, 'Creator': None, 'Producer': None},
}


class FigureError(SigmaError):
    """A figure that is unknown, or that cannot be drawn or written."""


def figure_names() -> list[str]:
    """Names of the figures in this folder, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith('_'))


def all_figures() -> dict[str, str]:
    """Name and sentence of every figure that `tools/plot.py` draws, the trainer's included; sorted. Nothing is run."""
    folders = (Path(__file__).parent, CONFIG_ROOT.parent / 'sigma' / 'figures')
    return dict(sorted(pair for folder in folders for pair in walk_sentences(folder)))


def load_figure(name: str) -> Callable[..., Figure]:
    """The `draw` of a figure, by the name of a file in this folder or by the path of one elsewhere.

    Raises:
        FigureError: if no figure has that name (with the nearest one), or the file is missing or has no `draw`.
    """
    if name.endswith('.py'):
        return _draw_of_file(Path(name))
    if name not in figure_names():
        raise FigureError(did_you_mean('figure', name, all_figures()))
    return importlib.import_module(f'{__name__}.{name}').draw


def _draw_of_file(path: Path) -> Callable[..., Figure]:
    """`draw` of a file that is not in this folder. Raises FigureError if there is none."""
    if not path.is_file():
        raise FigureError(f'Figure {path} does not exist')
    try:
        draw = runpy.run_path(str(path)).get('draw')
    except Exception as error:
        raise FigureError(f'Figure {path} cannot be loaded: {type(error).__name__}: {error}') from None
    if not callable(draw):
        raise FigureError(f'Figure {path} has no draw(table); see CONTRIBUTING.md.')
    return draw


def style() -> AbstractContextManager:
    """Context to draw and write figures in: text of 7 to 8 points at paper width, no frame."""
    import matplotlib

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
    """Colour and hatch of each row of a table; hatches start when the colours run out."""
    trained = [row for row in rows if row != baseline]
    hatches = ('', '////', '....', 'xxxx')
    given = {
        row: (PALETTE[i % len(PALETTE)], hatches[i // len(PALETTE) % len(hatches)]) for i, row in enumerate(trained)
    }
    return {row: given.get(row, (BASELINE_COLOUR, '')) for row in rows}


def render(figure: Figure, ending: str) -> bytes:
    """Bytes of the figure as a file with that ending (.png, .svg, .pdf); the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=ending.removeprefix('.'), metadata=FORMATS[ending])
    return buffer.getvalue()


def save_figure(figure: Figure, out: str | Path) -> list[Path]:
    """Writes a figure, each file whole or not at all; returns the paths. Without an ending it writes PNG and SVG.

    Raises:
        FigureError: if the ending is not one of `FORMATS`, or the file cannot be written.
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
