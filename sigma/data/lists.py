"""List files: the videos of a split and their labels, in mmaction2's format, one video per line.

path label             action recognition; repetition, where the number is the count
path label label ...   any number of labels (mmaction2's `multi_class`)

Lines end at a newline and at nothing else: Python's `splitlines` would also cut a name at U+2028, U+0085 or 0x1c.
"""

import gzip
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sigma.errors import DataError
from sigma.files import sha256_file, write_atomic
from sigma.text import in_utf8, is_utf8, shell_join, shown

Label = int | tuple[int, ...]
_MOST_DIGITS = 18  # what an int64 surely holds; Python alone would refuse more than 4300, with an error of its own


def read_list(path: str | Path, delimiter: str | None = None, multi_label: bool = False) -> list[tuple[str, Label]]:
    """(path, label) pairs of a list file; with `multi_label`, (path, labels) with a tuple of any length.

    Args:
        path: The file; gzipped if it ends in `.gz`.
        delimiter: Between path and label; None takes a tab if the line has one, else a space.

    Raises:
        DataError: if the file is missing, or a line is not a path and whole numbers; the line is named.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"No list file at '{path}': write it with tools/prepare.py.")
    opened = gzip.open if path.suffix == '.gz' else open
    try:
        with opened(path, 'rt', encoding='utf-8') as file:
            lines = file.read().split('\n')
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not a list in UTF-8: {error}.") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        split_by = delimiter or ('\t' if '\t' in line else ' ')
        # With a tab, spaces around a name are part of it.
        video, *labels = (line if split_by == '\t' else line.strip(' \t')).split(split_by)
        found = [whole_number(label) for label in labels]
        numbers = tuple(number for number in found if number is not None)
        if len(numbers) < len(found) or not (multi_label or len(labels) == 1):
            wanted = 'a path and labels' if multi_label else 'a path and a label'
            raise DataError(f"'{path}' line {number}: expected {wanted}, found '{line}'.")
        entries.append((video, numbers if multi_label else numbers[0]))
    return entries


def whole_number(text: str) -> int | None:
    """The number in digits that a text is, with or without spaces around it; None if it is none below 10**18."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def write_list(path: str | Path, entries: Sequence[tuple[str, Label]], delimiter: str | None = None) -> str:
    """Write (path, label) or (path, labels) pairs as a list file (`list_text`), whole or not at all.

    Args:
        delimiter: None takes a space, or a tab if a path has white space.

    Returns:
        The delimiter, which the dataset card must state.

    Raises:
        DataError: if a path contains the delimiter or a line break.
    """
    delimiter = delimiter or pick_delimiter([video for video, _ in entries])
    write_atomic(path, list_text(entries, delimiter))
    return delimiter


def list_text(entries: Sequence[tuple[str, Label]], delimiter: str) -> str:
    """The text of a list file.

    Raises:
        DataError: if a path contains the delimiter or a line break.
    """
    lines = []
    for video, label in entries:
        if reason := unlistable(video):
            raise DataError(f'{shown(video)!r} cannot be in a list file: {reason}.')
        if delimiter in video or (delimiter == ' ' and video != video.strip(' \t')):
            raise DataError(f'{shown(video)!r} cannot be in a list file with the delimiter {delimiter!r}.')
        labels = label if isinstance(label, tuple) else (label,)
        lines.append(delimiter.join([video, *map(str, labels)]) + '\n')
    return ''.join(lines)


def unlistable(path: str) -> str | None:
    """Why no list file can hold a path, with the name that would do; None if one can."""
    if not is_utf8(path):
        return f"its name is not in UTF-8: rename it to '{in_utf8(path)}'"
    if found := re.search(r'[\t\n\r]', path):
        kind = 'a tab' if found[0] == '\t' else 'a line break'
        name = re.sub(r'[\t\n\r]+', '_', path)
        return f"it has {kind} in its name: rename it to '{name}'"
    return None


def check_listable(paths: Iterable[str], where: str) -> None:
    """Raise a DataError if a list file cannot hold one of the paths; it says what to rename.

    Args:
        paths: As they would be in the list.
        where: The folder that they start from.
    """
    reasons = {path: reason for path in paths if (reason := unlistable(path))}
    if reasons:
        path, reason = next(iter(reasons.items()))
        several = f' ({len(reasons)} names in all)' if len(reasons) > 1 else ''
        latin = '' if is_utf8(path) else f'; convmv -r -f latin1 -t utf8 --notest {shell_join([where])} renames all'
        raise DataError(f"'{shown(path)}' under '{shown(where)}' cannot be listed: {reason}{latin}{several}.")


def pick_delimiter(paths: Iterable[str]) -> str:
    """A space, or a tab if any path has white space."""
    return '\t' if any(len(path.split()) != 1 for path in paths) else ' '


def list_sha256(path: str | Path) -> str:
    """Hex sha256 of a list file's bytes: the identity of a split in cards and records."""
    return sha256_file(path)


def spread(pairs: list[tuple[str, Label]], limit: int) -> list[int]:
    """Positions of at most `limit` entries of a list, in order, spread over its labels as evenly as possible.

    The first entry of every label, then the second of every label, and so on; several labels of a video count as one.
    """
    members: dict[Label, list[int]] = {}
    for position, (_, label) in enumerate(pairs):
        members.setdefault(label, []).append(position)
    rounds = [(number, position) for group in members.values() for number, position in enumerate(group)]
    return sorted(position for _, position in sorted(rounds)[:limit])
