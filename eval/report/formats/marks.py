"""Letters for the notes of published numbers: one a note, beside the numbers or the rows that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.report.table import Table


@dataclass
class Marks:
    """Which note stands beside which number.

    Attributes:
        notes: Letter -> note.
        rows: Row -> letters of notes on all its numbers.
        cells: (name of a column, row) -> letters of the notes on that number alone.
    """

    notes: dict[str, str] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    cells: dict[tuple[str, str], str] = field(default_factory=dict)


def published_marks(table: Table) -> Marks:
    """The marks of all published numbers of a table, in the order of its columns. Summaries repeat no mark."""
    of_cell = {
        (column.name, row): list(dict.fromkeys(note for record in cell.records for note in record.notes))
        for column in table.measured
        for row, cell in column.cells.items()
        if cell.published
    }
    letters = {
        note: _letter(number) for number, note in enumerate(dict.fromkeys(n for ns in of_cell.values() for n in ns))
    }
    found = Marks({letter: note for note, letter in letters.items()})
    for row in dict.fromkeys(row for _, row in of_cell):
        cells = {column: notes for (column, other), notes in of_cell.items() if other == row}
        common = [note for note in letters if all(note in notes for notes in cells.values())]
        if common:
            found.rows[row] = ','.join(letters[note] for note in common)
        for column, notes in cells.items():
            if own := [letters[note] for note in notes if note not in common]:
                found.cells[column, row] = ','.join(own)
    return found


def _letter(number: int) -> str:
    """a to z, then aa, ab and so on."""
    first, last = divmod(number, 26)
    return (_letter(first - 1) if first else '') + chr(ord('a') + last)
