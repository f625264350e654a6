"""Writes a live page: whole or not at all, and never at the cost of what runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from sigma.errors import DataError
from sigma.files import write_atomic

REFRESH_SECONDS = 2  # from one look of a browser at the file to the next


def live_path(given: str, usual: Path) -> Path:
    """Where a live page goes: the file that was given, or the usual one for an empty text.

    Raises:
        DataError: if the name does not end in .html.
    """
    path = Path(given) if given else usual
    if path.suffix != '.html':
        raise DataError(f'--live takes a file that ends in .html, or nothing for {usual}; {given} was given.')
    return path


def now() -> str:
    """The time of day as people read it, with the offset from UTC."""
    return datetime.now(timezone.utc).astimezone().strftime('%Y-%m-%d %H:%M:%S %z')


def many(number: int, word: str) -> str:
    """`1 cell`, `3 cells`."""
    return f'{number} {word}{"" if number == 1 else "s"}'


class LiveFile:
    """A file that is written again and again. A failure is told once and never raised.

    Args:
        path: The file.
        program: Whose warning it is.
    """

    def __init__(self, path: Path, program: str) -> None:
        self.path, self.program = path, program
        self.warned = False

    def write(self, make: Callable[[], str]) -> bool:
        """Write what `make` returns; returns whether that worked."""
        try:
            write_atomic(self.path, make(), durable=False)
        except Exception as error:  # whatever goes wrong here must not stop the run
            if not self.warned:
                reason = ' '.join(str(error).split()) or type(error).__name__
                print(f'{self.program}: the live page {self.path} is not up to date: {reason}', file=sys.stderr)
            self.warned = True
            return False
        return True
