"""What a section of the page is made of. The template draws each part, and escapes all text in it. No torch."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    """A link in a grid.

    Args:
        text: As shown.
        href: Address; `#cell=...` opens a cell of the results, see `cell_link`.
    """

    text: str
    href: str


@dataclass(frozen=True)
class Sentences:
    """A list of sentences; a single one is a paragraph.

    Args:
        sentences: Plain text.
        small: In small print, for notes.
    """

    sentences: list[str]
    small: bool = False
    kind: str = field(default='sentences', init=False)


@dataclass(frozen=True)
class Grid:
    """A table with one header line.

    Args:
        head: Names of the columns.
        lines: One list per row, as long as `head`. The first entry of a row is its heading.
        caption: What it shows, in a sentence.
        numbers: Numbers of the columns (from 0) that are aligned to the right.
    """

    head: list[str]
    lines: list[list[str | Link]]
    caption: str = ''
    numbers: tuple[int, ...] = ()
    kind: str = field(default='grid', init=False)


@dataclass(frozen=True)
class Picture:
    """An image inside the page.

    Args:
        data: Bytes of an SVG or PNG file.
        alt: What it shows, for readers who cannot see it.
        caption: Shown below it.
    """

    data: bytes
    alt: str
    caption: str = ''
    kind: str = field(default='picture', init=False)

    @property
    def uri(self) -> str:
        """The image as a `data:` address. An image of its own cannot clash with ids or styles of the page."""
        form = 'png' if self.data.startswith(b'\x89PNG') else 'svg+xml'
        return f'data:image/{form};base64,{base64.b64encode(self.data).decode()}'


@dataclass(frozen=True)
class Command:
    """A command for a shell, with a button that copies it.

    Args:
        text: The command.
        label: What it does, in a few words.
    """

    text: str
    label: str = ''
    kind: str = field(default='command', init=False)


@dataclass(frozen=True)
class Text:
    """Text whose lines and spaces stay as they are.

    Args:
        text: Plain text.
    """

    text: str
    kind: str = field(default='text', init=False)


@dataclass(frozen=True)
class Picker:
    """The place where a reader picks two encoders and sees videos on which they disagree. Once in a page."""

    kind: str = field(default='picker', init=False)


@dataclass(frozen=True)
class Fold:
    """Parts that are shown on request.

    Args:
        heading: Of the line to click.
        parts: What it holds.
        unfolded: Show them from the start.
    """

    heading: str
    parts: list[Part]
    unfolded: bool = False
    kind: str = field(default='fold', init=False)


Part = Sentences | Grid | Picture | Command | Text | Picker | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading and a line in its table of contents.

    Args:
        id: Its anchor, such as `cost`; unique in the page.
        heading: Of the section.
        parts: What it holds.
        short: Its name in the table of contents; by default the heading.
    """

    id: str
    heading: str
    parts: list[Part]
    short: str = ''


def cell_id(row: str, column: str) -> str:
    """Identity of a cell in links.

    Args:
        row: Name of the row.
        column: `Column.name`.
    """
    return f'{row} | {column}'


def cell_link(row: str, column: str, text: str) -> Link:
    """A link that opens the details of a cell."""
    from urllib.parse import quote

    return Link(text, f'#cell={quote(cell_id(row, column), safe="")}')
