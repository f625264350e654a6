"""The look of each encoder: colour, hatch, marker and dashes, the same in all figures of a report. Standard library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from eval.report.table import Table

# Six of Okabe and Ito's colours, wine and near-black. The eight and the grey of random weights stay apart for every
# kind of colour vision: the smallest distance in CIELAB is 26, and 15 for protanopes, deuteranopes and tritanopes.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#882255', '#222222')
BASELINE, BASELINE_COLOUR = 'random', '#BDBDBD'
PUBLISHED = ' (published'  # in the names of rows that come from papers
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')  # seven, so that no marker keeps to a colour
# When the colours run out they start again with the next of these.
HATCHES = ('', '....', 'xxxx', '++++', 'oooo')
DASHES = ('-', (0, (4, 1.2)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 1, 1, 1, 1, 1)))
PUBLISHED_HATCH = '////'


class Look(NamedTuple):
    """How a row is drawn."""

    colour: str  # of lines, points and text
    hatch: str
    marker: str
    dashes: Any  # a line style of matplotlib
    is_published: bool

    def line(self) -> dict[str, Any]:
        """Arguments for `axes.plot`; points of published numbers are hollow."""
        filled = 'white' if self.is_published else self.colour
        return {
            'color': self.colour,
            'linestyle': self.dashes,
            'marker': self.marker,
            'markerfacecolor': filled,
            'markeredgecolor': self.colour,
        }

    def area(self) -> dict[str, Any]:
        """Arguments for `axes.bar` or a Patch; published numbers are pale and hatched."""
        if self.is_published:
            return {
                'facecolor': paler(self.colour),
                'hatch': PUBLISHED_HATCH,
                'edgecolor': self.colour,
                'linewidth': 0,
            }
        return {'facecolor': self.colour, 'hatch': self.hatch, 'edgecolor': 'white', 'linewidth': 0}


def looks(of: Table | Sequence[str]) -> dict[str, Look]:
    """Row -> its look, for every row of the whole table that `of` is or is a part of (`Table.every_row`), or for names.

    Random weights are grey. A published row has the colour of the encoder of that name.
    """
    rows: Sequence[str] = getattr(of, 'every_row', of)  # type: ignore[arg-type, assignment]
    encoders = list(dict.fromkeys(name for row in rows if not _is_baseline(name := _encoder(row))))
    found = {}
    for row in rows:
        name, published = _encoder(row), PUBLISHED in row
        if _is_baseline(name):
            found[row] = Look(BASELINE_COLOUR, PUBLISHED_HATCH if published else '', 'o', '-', published)
            continue
        number = encoders.index(name)
        turn = number // len(PALETTE)
        found[row] = Look(
            PALETTE[number % len(PALETTE)],
            PUBLISHED_HATCH if published else HATCHES[turn % len(HATCHES)],
            MARKERS[number % len(MARKERS)],
            DASHES[turn % len(DASHES)],
            published,
        )
    return found


def paler(colour: str, share: float = 0.6) -> str:
    """The colour mixed with that share of white, as #RRGGBB."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return '#' + ''.join(f'{round(255 * share + part * (1 - share)):02X}' for part in parts)


def _encoder(row: str) -> str:
    return row.partition(PUBLISHED)[0]


def _is_baseline(name: str) -> bool:
    return name == BASELINE or name.startswith(f'{BASELINE} [')
