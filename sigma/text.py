"""Text for people: aligned columns, and names of files as they can be shown, stored and given to a shell.

Needs only rich, imported on first use.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence

_PLAIN_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.+=-]*')
PLAIN_NAME_RULE = 'letters a to z, digits and _ . + = - only, no dot or dash first'


def is_plain_name(name: str) -> bool:
    """Whether a name may be part of the file names of records; `PLAIN_NAME_RULE` says what it may hold."""
    return _PLAIN_NAME.fullmatch(name) is not None


def plain_name(name: str, otherwise: str = 'videos') -> str:
    """The nearest plain name: accents are dropped, anything else becomes `_`; `otherwise` if no letter is left."""
    ascii_part = unicodedata.normalize('NFKD', name).encode('ascii', 'ignore').decode()
    return re.sub(r'[^A-Za-z0-9_.+=-]+', '_', ascii_part).strip('_').lstrip('.+=-') or otherwise


def is_utf8(name: str) -> bool:
    """Whether a file name from the system is in UTF-8; Python keeps other bytes as lone surrogates."""
    try:
        name.encode('utf-8')
    except UnicodeEncodeError:
        return False
    return True


def in_utf8(name: str) -> str:
    """A file name whose bytes are not in UTF-8, read as Latin-1."""
    return name if is_utf8(name) else os.fsencode(name).decode('latin-1')


def one_line(text: str) -> str:
    """A text of several lines as one; spaces within a line stay, since they may be part of a path."""
    return re.sub(r'[ \t]*[\r\n]+[ \t]*', ' ', text.strip())


def shell_join(words: Iterable[str]) -> str:
    """Words as one line for bash; a word that cannot be printed is written as $'...' with escapes."""
    return ' '.join(shlex.quote(word) if word.isprintable() else _ansi_quoted(word) for word in words)


def _ansi_quoted(word: str) -> str:
    """A word as bash reads it in $'...'; what cannot be printed becomes its bytes."""

    def escaped(character: str) -> str:
        if character in "\\'":
            return f'\\{character}'
        if character.isprintable():
            return character
        return ''.join(f'\\x{byte:02x}' for byte in os.fsencode(character))

    return f"$'{''.join(map(escaped, word))}'"


def shown(name: str) -> str:
    """A file name as it can be printed on one line: control characters and bytes outside UTF-8 as escapes."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode('ascii') for c in name)


# Marks that join or modify what is around them; without them, emoji and some scripts fall apart.
_JOINERS = '\u200c\u200d'


def isolated(name: str) -> str:
    """A name for a line of a table: control characters as escapes, and a name in a right-to-left script held together.

    Such a name stands between the marks FSI and PDI, so that the numbers beside it keep their order.
    """
    line = ''.join(c if c in _JOINERS else shown(c) for c in name)
    if any(unicodedata.bidirectional(c) in ('R', 'AL', 'AN') for c in line):
        return f'\u2068{line}\u2069'
    return line


def terminal_width() -> int | None:
    """Characters of a line on the terminal; None where stdout is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def sentence(text: str, most: int = 1000) -> str:
    """A message as it can be printed: on one line, as `shown`; the middle is left out if it is longer than `most`."""
    line = shown(one_line(text))
    return line if len(line) <= most else f'{line[: most - most // 3]} [...] {line[-(most // 3) :]}'


def align(lines: Sequence[Sequence[str]], *, rule: bool = False, markdown: bool = False) -> str:
    """Lines of cells as left-aligned columns, two spaces apart; no line ends in spaces.

    Args:
        lines: Cells as they should appear; each line has the same number of cells.
        rule: Draws a line of dashes below the first line.
        markdown: Gives a Markdown table instead, with the first line as header. Escape `|` and `*` yourself.

    Returns:
        The lines joined by newlines, without a newline at the end.

    Raises:
        ValueError: if lines differ in their number of cells.
    """
    if len({len(line) for line in lines}) > 1:
        raise ValueError(f'lines have {sorted({len(line) for line in lines})} cells; all need the same number')
    from rich.box import MARKDOWN, Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A box is eight lines of (left, middle, divider, right); the third is the rule below the header.
    dashes = Box('    \n    \n -- \n    \n    \n    \n    \n    \n')
    table = Table(
        box=MARKDOWN if markdown else dashes,
        show_header=rule or markdown,
        show_edge=markdown,
        pad_edge=markdown,
        padding=(0, 1) if markdown else (0, 1, 0, 0),
    )
    header, body = (lines[:1], lines[1:]) if rule or markdown else ([], lines)
    for number in range(len(lines[0]) if lines else 0):
        heading = Text(header[0][number]) if header else ''
        table.add_column(heading, no_wrap=True, overflow='ignore')
    for line in body:
        table.add_row(*map(Text, line))
    console = Console(file=io.StringIO(), width=1_000_000, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table, crop=False)
    drawn = [line.rstrip() for line in capture.get().splitlines()]
    return '\n'.join(drawn[1:-1] if markdown else drawn)  # Markdown has no line above the header or below the last
