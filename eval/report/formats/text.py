"""The table for a terminal, folded to its width."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

from eval.report.formats.layout import Layout, Look, clear_note, lay_out
from sigma.text import isolated

if TYPE_CHECKING:
    from eval.report.table import Table

GAP = '  '
LEAST_NAME = 12  # characters of the column of names, however narrow the terminal


def text(table: Table, look: Look | None = None) -> str:
    """For a terminal: groups, short names and metrics as the head, rows, chance, and notes below.

    A table that is wider than `look.width` is folded: several blocks with the names of the rows repeated.
    """
    look = look or Look()
    found = lay_out(table, look)
    names = [isolated(row.name) + ('^' + row.letters if row.letters else '') for row in found.rows]
    widest = max(map(cell_len, ['encoder', *names]))
    if look.width is not None:
        widest = min(widest, max(LEAST_NAME, look.width // 3))
    blocks = [_block(found, names, slice(first, last), widest) for first, last in _folds(found, widest, look.width)]
    notes = ([clear_note()] if any(e.best for row in found.rows for e in row.entries) else []) + found.notes
    if look.width is not None:
        notes = [line for note in notes for line in _wrapped(note, look.width)]
    return '\n\n'.join(['\n'.join(block) for block in blocks] + ['\n'.join(notes)]).rstrip() + '\n'


def _folds(found: Layout, widest: int, width: int | None) -> list[tuple[int, int]]:
    """(first, last) column of each block. A group moves whole to the next block if it fits there."""
    num = len(found.columns)
    if width is None:
        return [(0, num)]
    room = width - widest
    sizes = [len(GAP) + size for size in _widths(found, slice(None))]
    ends, position = [], 0
    for _, members in found.groups():
        ends.append(position + members)
        position += members
    folds, first, used = [], 0, 0
    for number, size in enumerate(sizes):
        group_end = next(end for end in ends if end > number)
        starts_group = number in (0, *ends)
        whole = sum(sizes[number:group_end])
        full = used + size > room or (starts_group and whole <= room < used + whole)
        if full and number > first:
            folds.append((first, number))
            first, used = number, 0
        used += size
    return [*folds, (first, num)]


def _widths(found: Layout, columns: slice) -> list[int]:
    """Characters of each column: its widest entry, and its share of the name of its group."""
    heads = [[isolated(column.label) for column in found.columns]] + ([found.metrics] if found.metrics else [])
    lines = [*heads, *([entry.text() for entry in row.entries] for row in found.rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines)][columns]
    position = 0
    for group, members in found.groups(columns):
        inside = range(position, position + members)
        lacking = cell_len(group) - sum(widths[i] for i in inside) - len(GAP) * (members - 1)
        widths[position + members - 1] += max(0, lacking)
        position += members
    return widths


def _block(found: Layout, names: Sequence[str], columns: slice, widest: int) -> list[str]:
    """Lines of some columns, with the names of all rows."""
    widths = _widths(found, columns)
    lines, groups = [], found.groups(columns)
    if any(group for group, _ in groups):
        sizes = iter(widths)
        spans = [sum(next(sizes) for _ in range(num)) + len(GAP) * (num - 1) for _, num in groups]
        rules = ['-' * span if group else '' for (group, _), span in zip(groups, spans)]
        lines += [_line(['', *line], [widest, *spans]) for line in ([group for group, _ in groups], rules)]
    each = [widest, *widths]
    lines.append(_line(['encoder', *(isolated(column.label) for column in found.columns[columns])], each))
    if found.metrics:
        lines.append(_line(['', *found.metrics[columns]], each))
    lines.append('-' * (sum(each) + len(GAP) * len(widths)))
    source = ''
    for row, name in zip(found.rows, names):
        if row.source != source:
            letters = found.headings.get(row.source)
            heading = f'published: {row.source}' + (f' ^{letters}' if letters else '')
            lines += [''] * (row is not found.rows[0]) + [heading] * bool(row.source)
            source = row.source
        first, *rest = _name_lines(name, widest)
        lines += [_line([first, *(entry.text() for entry in row.entries[columns])], each), *rest]
    return lines


def _name_lines(name: str, width: int) -> list[str]:
    """A name in lines of that width, broken behind its punctuation where that leaves no short line."""
    lines = []
    while cell_len(name) > width:
        line = chop_cells(name, width)[0]
        end = max((found.end() for found in re.finditer(r'[ _./,-]+', line)), default=0)
        line = line[:end] if end > len(line) // 2 else line
        lines.append(line.rstrip())
        name = name[len(line) :]
    return [*lines, name]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Left-aligned cells, two spaces apart; East Asian characters take two places, and combining ones none."""
    return GAP.join(cell + ' ' * (width - cell_len(cell)) for cell, width in zip(cells, widths)).rstrip()


def _wrapped(note: str, width: int) -> list[str]:
    return textwrap.wrap(note, max(width, 20), subsequent_indent='  ', break_long_words=False, break_on_hyphens=False)
