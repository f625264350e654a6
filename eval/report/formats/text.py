"""The table for a terminal, folded to its width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

from eval.report.formats.layout import Layout, Look, Row, clear_note, lay_out
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
    widest = max(map(cell_len, ['encoder', *map(_name, found.rows)]))
    if look.width is not None:
        widest = min(widest, max(LEAST_NAME, look.width // 3))
    sizes = _sizes(found)
    folds = _folds(found, sizes, widest, look.width)
    blocks = [_block(found, slice(*fold), _widths(found, sizes, slice(*fold)), widest, look.width) for fold in folds]
    notes = ([clear_note()] if any(e.best for row in found.rows for e in row.entries) else []) + found.notes
    notes = [line for note in notes for line in _wrapped(note, look.width)]
    return '\n\n'.join(['\n'.join(block) for block in blocks] + ['\n'.join(notes)]).rstrip() + '\n'


def _folds(found: Layout, each: list[int], widest: int, width: int | None) -> list[tuple[int, int]]:
    """(first, last) column of each block. A group moves whole to the next block if it fits there."""
    num = len(found.columns)
    if width is None:
        return [(0, num)]
    room = width - widest
    sizes = [len(GAP) + size for size in _widths(found, each, slice(None))]
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


def _sizes(found: Layout) -> list[int]:
    """Characters of the widest entry of each column."""
    heads = [[isolated(column.label) for column in found.columns]] + ([found.metrics] if found.metrics else [])
    lines = [*heads, *([entry.text() for entry in row.entries] for row in found.rows)]
    return [max(map(cell_len, column)) for column in zip(*lines)]


def _widths(found: Layout, sizes: list[int], columns: slice) -> list[int]:
    """Characters of each column: its widest entry; the last of a group takes what the name of the group needs more."""
    widths, position = sizes[columns], 0
    for group, members in found.groups(columns):
        inside = widths[position : position + members]
        lacking = cell_len(group) - sum(inside) - len(GAP) * (members - 1)
        position += members
        widths[position - 1] += max(0, lacking)
    return widths


def _name(row: Row) -> str:
    return isolated(row.name) + (f'^{row.letters}' if row.letters else '')


def _block(found: Layout, columns: slice, widths: list[int], widest: int, width: int | None) -> list[str]:
    """Lines of some columns, with the names of the rows."""
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
    for row in (rows := found.rows_of(columns)):
        if row.source != source:
            letters = found.headings.get(row.source)
            heading = f'published: {row.source}' + (f' ^{letters}' if letters else '')
            lines += [''] * (row is not rows[0]) + (_wrapped(heading, width) if row.source else [])
            source = row.source
        first, *rest = _name_lines(_name(row), widest)
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


def _wrapped(note: str, width: int | None) -> list[str]:
    """A note or heading in lines of that width, further lines indented; a word that is too long is cut."""
    if width is None:
        return [note]
    lines: list[str] = []
    line = ''
    for word in note.split(' '):
        while cell_len(word) > width - len(GAP):  # long names
            head = chop_cells(word, width - len(GAP))[0]
            lines += [line] * bool(line.strip()) + [GAP * bool(lines or line) + head]
            word, line = word[len(head) :], GAP
        joined = f'{line} {word}' if line.strip() else line + word
        if cell_len(joined) > width:
            lines.append(line)
            joined = GAP + word
        line = joined
    return [*lines, line]
