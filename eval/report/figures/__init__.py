"""Figures of results: one file per figure, found by walking this folder. No torch.

Each file has `draw(table, *, width) -> Figure`, whose docstring starts with a sentence on what the figure shows; it
draws the columns and rows of an `eval.report.table.Table` in their order, for one column of a paper or the whole page.
`corruption_sheet` and `overlays` alone are drawn from files. Draw inside `with style():` so that all figures look
alike, take colours from `looks(table)`, so that an encoder has the same one in all figures of a report, and give the
figure its caption with `captioned`. Files that begin with `_` help the figures. Matplotlib is imported when one is
drawn.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import runpy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eval.report.figures._looks import BASELINE_COLOUR, PALETTE, Look, looks
from sigma.configs import CONFIG_ROOT, walk_sentences
from sigma.errors import SigmaError, did_you_mean
from sigma.files import write_atomic
from sigma.text import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eval.report.table import Table

__all__ = ['BASELINE_COLOUR', 'PALETTE', 'Look', 'looks']

Width = Literal['page', 'column']
PAPER_WIDTH_INCHES = 7.0  # both columns of a two-column page
COLUMN_WIDTH_INCHES = 3.4
WIDTHS = {'page': PAPER_WIDTH_INCHES, 'column': COLUMN_WIDTH_INCHES}
PAPER_HEIGHT_INCHES = 9.2  # a page of a paper without its margins

# ending -> metadata to leave out of the file, so that the same figure gives the same bytes
FORMATS = {
    '.png': {'Software': None},
    '.svg': {'Date': None, 'Creator': None},
    '.pdf': {'CreationDate': None, 'Creator': None, 'Producer': None},
}
# ending -> the entry of the metadata that holds the caption
CAPTION_KEYS = {'.png': 'Description', '.svg': 'Description', '.pdf': 'Subject'}


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


def width_inches(width: str) -> float:
    """Inches of `page` or `column`.

    Raises:
        FigureError: if the width is another one.
    """
    if width not in WIDTHS:
        raise FigureError(did_you_mean('width', width, WIDTHS))
    return WIDTHS[width]


def draw_figure(name: str, table: Table, width: str = 'page', **options: Any) -> Figure:
    """Draws a figure by its name (or the path of its file) from a table.

    Args:
        name: As in `load_figure`.
        table: The results.
        width: `page` or `column`. A figure of a user's own that takes no width is drawn at its own size.
        options: Passed on if the figure takes them, such as `every_column`.

    Raises:
        FigureError: if there is no such figure or width, or the records hold nothing that it can draw.
    """
    width_inches(width)
    draw = load_figure(name)
    options = {'width': width, **options}
    parameters = inspect.signature(draw).parameters
    takes_all = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    return draw(table, **{key: value for key, value in options.items() if takes_all or key in parameters})


def captioned(figure: Figure, text: str) -> Figure:
    """The figure with its caption, which `save_figure` writes beside it and into the file."""
    figure.caption = ' '.join(shown(line) for line in text.splitlines())  # type: ignore[attr-defined]
    return figure


def caption_of(figure: Figure) -> str:
    """What stands below the figure in a paper: units, directions, videos, seeds, intervals; '' if it has none."""
    return getattr(figure, 'caption', '')


def style() -> AbstractContextManager:
    """Context to draw and write figures in: text of 6 to 8 points, no frame, and `$`, `_` and `^` are plain letters."""
    import matplotlib

    return matplotlib.rc_context(
        {
            **{key: value for key, value in matplotlib.rcParamsDefault.items() if key != 'backend'},
            'font.size': 7.5,
            'axes.labelsize': 7,
            'axes.titlesize': 7,
            'axes.titlepad': 3,
            'axes.labelpad': 2,
            'xtick.labelsize': 6.5,
            'ytick.labelsize': 6.5,
            'legend.fontsize': 6.5,
            'legend.frameon': False,
            'axes.spines.top': False,
            'axes.spines.right': False,
            'axes.linewidth': 0.6,
            'axes.axisbelow': True,
            'xtick.major.width': 0.6,
            'ytick.major.width': 0.6,
            'xtick.major.size': 2.5,
            'ytick.major.size': 2.5,
            'hatch.linewidth': 0.6,
            'savefig.dpi': 300,
            'svg.hashsalt': 'sigma',
            'pdf.fonttype': 42,  # TrueType, embedded: readers can search and copy the text
            'text.parse_math': False,
        }
    )


def colours(rows: Sequence[str] | Table) -> dict[str, tuple[str, str]]:
    """Colour and hatch of each row; give a table rather than names, and all its figures agree (`looks`)."""
    return {row: (look.colour, look.hatch) for row, look in looks(rows).items()}


def render(figure: Figure, ending: str) -> bytes:
    """Bytes of the figure as a file with that ending (.png, .svg, .pdf); the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = FORMATS[ending] | ({CAPTION_KEYS[ending]: caption} if (caption := caption_of(figure)) else {})
    with style():
        figure.savefig(buffer, format=ending.removeprefix('.'), metadata=metadata)
    return buffer.getvalue()


def _rendered(figure: Figure, paths: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """The figure as each file. It is laid out once, for the first: that takes a third of the time of drawing."""
    files, layout = [], figure.get_layout_engine()
    try:
        for path in paths:
            files.append((path, render(figure, path.suffix)))
            figure.set_layout_engine('none')  # what stands, stays
    finally:
        figure.set_layout_engine(layout or 'none')
    return files


def save_figure(figure: Figure, out: str | Path) -> list[Path]:
    """Writes a figure, each file whole or not at all; returns the paths. Without an ending it writes PNG and SVG.

    The caption goes into each file, and beside them as `<name>.caption.txt`, which is the last path.

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
    files = _rendered(figure, paths)
    if caption := caption_of(figure):
        files.append((out.with_name(f'{out.stem if out.suffix else out.name}.caption.txt'), f'{caption}\n'.encode()))
    try:
        return [write_atomic(path, data) for path, data in files]
    except OSError as error:
        raise FigureError(f'{out} cannot be written: {error.strerror}') from error
