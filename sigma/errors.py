"""Errors with one sentence for the user, and the sentence for an unknown name. Needs only the standard library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SigmaError(ValueError):
    """Input that cannot be used: what was asked, what was found, what would work. Commands print it and exit with 2."""


class DataError(SigmaError):
    """Data, a card, or a setting that cannot be used."""


class CheckpointError(SigmaError):
    """A checkpoint that is missing, damaged, refused, or does not fit."""


class DecodeError(RuntimeError):
    """A video that cannot be opened or decoded; names the file and the reason."""


def did_you_mean(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for an unknown name: "Unknown figure 'bar'. Did you mean 'bars'? Known: bars"."""
    known = sorted(known)
    close = nearest(name, known)
    guess = f'Did you mean {close!r}? ' if close else ''
    return f'Unknown {kind} {name!r}. {guess}Known: {", ".join(known)}'


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a misspelt one; None if none is."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def told(error: BaseException) -> str:
    """The message of an error on one line: `'out/x.npz' cannot be used: Permission denied` for one of a file."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"'{error.filename}' cannot be used: {error.strerror}"
    return ' '.join(str(error).split())
