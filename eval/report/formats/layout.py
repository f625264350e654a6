"""What stands where in a table, before it is written in a format: heads, rows, entries, marks and notes."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from eval.report.differences import clear_best
from eval.report.formats.marks import Marks, published_marks
from eval.report.notes import footnotes, same_seeds
from eval.report.statistics import is_clear
from eval.report.verdicts import verdicts
from sigma.text import isolated

if TYPE_CHECKING:
    from eval.report.table import Column, Table

CLEARLY = "clearly better (p < 0.05 by Holm's correction, and a 95 % interval without 0) than"
INTERVALS = ('brackets', 'pm', 'none')
BEST = ('mean', 'clear')
MISSING, NO_NUMBER = 'missing', '-'  # not measured; no mean, and no chance
PUBLISHED = re.compile(r' \(published(, [^()]*)?\)$')  # what a table adds to the name of a published row
# Metrics by their short names, for the head of a column.
SHORT_METRICS = {
    'top1': 'top-1',
    'top5': 'top-5',
    'mean_class': 'per class',
    'mean_average_precision': 'mAP',
    'map_50_95': 'mAP .5:.95',
    'map_30_70': 'mAP .3:.7',
    'count_error': 'error',
    'mpc': 'mPC',
}


@dataclass(frozen=True)
class Look:
    """How a table is written.

    Attributes:
        interval: `brackets` for `[80.1, 86.0]`, `pm` for the longer side of the interval behind a plus-minus sign, or
            `none`.
        best: `mean` for the highest mean in bold and the second underlined; `clear` for bold only where a row is
            clearly better than all others measured here; None for what the format has by default.
        baseline: Row that the others are compared with; marks say which are clearly better or worse. None: no marks.
        width: Characters of a line, for text; wider tables are folded into blocks. None: as wide as they are.
        split: Columns of a block, for LaTeX; None: as many as fit across a page.
        standalone: For LaTeX, a whole document instead of a table to include.
        caption: For LaTeX, a sentence in front of the caption.
    """

    interval: str = 'brackets'
    best: str | None = None
    baseline: str | None = None
    width: int | None = None
    split: int | None = None
    standalone: bool = False
    caption: str = ''


class Entry(NamedTuple):
    """One entry as shown; most have `value` alone."""

    value: str  # 83.2
    mark: str = ''  # * or !, for videos that were not scored
    rest: str = ''  # interval and number of seeds, with a space in front
    best: bool = False  # clearly better than the others of its column
    place: int = 0  # 1: the best mean of its column, 2: the second, 0: neither
    against: int = 0  # 1: clearly better than the baseline, -1: clearly worse
    letters: str = ''  # of notes on this number

    def text(self) -> str:
        """For a terminal."""
        signs = ('†' if self.best else '') + ' ▲▼'[self.against].strip() + self.mark
        return f'{self.value}{signs}{"^" * bool(self.letters)}{self.letters}{self.rest}'


@dataclass
class Row:
    """One line of the table."""

    name: str  # of a published row below the heading of its paper: without `(published)`
    entries: list[Entry]
    letters: str = ''  # of notes on all its numbers, less those on all numbers of its paper
    source: str = ''  # the paper of a published row; '' for a measured one
    is_constant: bool = False  # chance, or the commonest class


@dataclass
class Layout:
    """A table as it is shown, without the marks of a format."""

    columns: list[Column]
    metrics: list[str]  # metric and direction of each column; empty where all are alike
    rows: list[Row]  # measured ones, published ones by their papers, chance
    headings: dict[str, str]  # paper -> letters of notes on all its numbers
    notes: list[str]  # the first says units, seeds, intervals and chance

    def groups(self, columns: slice = slice(None)) -> list[tuple[str, int]]:
        """(group, number of neighbouring columns) of some columns."""
        return [
            (name, len(list(members)))
            for name, members in itertools.groupby(column.group for column in self.columns[columns])
        ]

    def rows_of(self, columns: slice) -> list[Row]:
        """Rows to show in a block of columns: published ones and chance only if they have a number there."""

        def has_number(row: Row) -> bool:
            return any(entry.value not in (MISSING, NO_NUMBER) for entry in row.entries[columns])

        return [row for row in self.rows if not (row.source or row.is_constant) or has_number(row)]


def lay_out(table: Table, look: Look | None = None) -> Layout:
    """The table as it is shown.

    Raises:
        RecordError: if no row is the baseline of `look`.
    """
    look, marks = look or Look(), published_marks(table)
    against = _against(table, look.baseline)
    beside = _Beside(look.interval, same_seeds(table) is None, against, marks)
    names = measured_first(table)
    by_column = [_entries(table, column, names, beside) for column in table.columns]
    rows = [Row(name, [entries[name] for entries in by_column]) for name in names]
    headings = _under_headings(table, rows, marks)
    rows.append(_constant(table, 'chance', [column.chance for column in table.columns]))
    if any(column.is_unbalanced for column in table.columns):
        rows.append(_constant(table, 'commonest class', [column.commonest for column in table.columns]))
    notes = footnotes(table, look.interval, marks)
    if look.baseline:
        notes.append(_against_note(look.baseline, against))
    return Layout(table.columns, _metrics(table), rows, headings, list(map(isolated, notes)))


class _Beside(NamedTuple):
    """What stands beside the numbers."""

    interval: str
    says_seeds: bool
    against: dict[tuple[str, str], int]  # (name of a column, row) -> 1 or -1
    marks: Marks


def measured_first(table: Table) -> list[str]:
    """All rows: those measured here, then published ones, paper by paper."""
    measured = {row for column in table.measured for row, cell in column.cells.items() if not cell.published}
    by_paper: dict[str, list[str]] = {}
    for row in table.rows:
        by_paper.setdefault('' if row in measured else _source(table, row), []).append(row)
    return by_paper.pop('', []) + [row for rows in by_paper.values() for row in rows]


def _under_headings(table: Table, rows: list[Row], marks: Marks) -> dict[str, str]:
    """Give published rows their paper, a name without `(published)`, and letters; returns those of the headings."""
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        if all(cell.published for column in table.measured if (cell := column.cells.get(row.name)) is not None):
            row.source = _source(table, row.name)
            by_source.setdefault(row.source, []).append(row)
    headings = {}
    for source, members in by_source.items():
        letters = [marks.rows.get(row.name, '').split(',') for row in members]
        common = [letter for letter in letters[0] if all(letter in other for other in letters)]
        headings[source] = ','.join(common)
        for row, own in zip(members, letters):
            row.letters = ','.join(letter for letter in own if letter not in common)
            row.name = PUBLISHED.sub('', row.name)
    return headings


def _metrics(table: Table) -> list[str]:
    """`top-1 ↑` of each column; nothing where one metric is all there is and higher is better."""
    kinds = {(column.metric_label, column.higher_is_better) for column in table.measured}
    if len(kinds) < 2 and all(higher for _, higher in kinds):
        return []
    names = ['mean' if c.is_summary else SHORT_METRICS.get(c.metric, c.metric_label) for c in table.columns]
    return [f'{name} {"↑" if column.higher_is_better else "↓"}' for name, column in zip(names, table.columns)]


def _entries(table: Table, column: Column, rows: list[str], beside: _Beside) -> dict[str, Entry]:
    """Row -> its entry in a column."""
    found = dict.fromkeys(rows, Entry(NO_NUMBER if column.is_summary else MISSING))
    places, best = ranks(column), clear_best(table, column)
    for row, cell in column.cells.items():
        mean, low, high = cell.interval[:3]
        rest = ''
        if not math.isnan(low) and beside.interval == 'brackets':
            rest = f' [{column.text(low)}, {column.text(high)}]'
        elif not math.isnan(low) and beside.interval == 'pm':
            rest = f' ± {column.text(max(mean - low, high - mean))}'
        if beside.says_seeds and not cell.published:
            rest += f' n={cell.num_seeds}'
        against = beside.against.get((column.name, row), 0)
        letters = beside.marks.cells.get((column.name, row), '')
        found[row] = Entry(column.text(mean), cell.mark, rest, best == row, places.get(row, 0), against, letters)
    return found


def ranks(column: Column) -> dict[str, int]:
    """Row -> 1 for the best mean of the column as it is written, 2 for the second.

    Rows that tie as written share the first place, and then there is no second. Of two rows none is second. What is
    left out of means has no place, nor has a published number that is not comparable with those measured here.
    """
    counted = {row: column.text(cell.interval.mean) for row, cell in column.counted.items()}
    values = sorted({float(text) for text in counted.values()}, reverse=column.higher_is_better)
    if len(counted) < 2:
        return {}
    found = {row: values.index(float(text)) + 1 for row, text in counted.items()}
    firsts = sum(place == 1 for place in found.values())
    most = 2 if firsts == 1 and len(counted) > 2 else 1
    return {row: place for row, place in found.items() if place <= most}


def _constant(table: Table, name: str, values: list[float | None]) -> Row:
    """A line of what is reached without looking at the videos."""
    said = [column.text(value) if value is not None else NO_NUMBER for column, value in zip(table.columns, values)]
    return Row(name, [Entry(text) for text in said], is_constant=True)


def _source(table: Table, row: str) -> str:
    """Papers that the numbers of a published row are from."""
    records = [record for c in table.measured if row in c.cells for record in c.cells[row].records]
    return '; '.join(dict.fromkeys(record.encoder['source'] or '' for record in records))


def _against(table: Table, baseline: str | None) -> dict[tuple[str, str], int]:
    """(column, row) -> 1 if clearly better than the baseline, -1 if clearly worse."""
    if baseline is None:
        return {}
    return {
        (each.column, each.row): 1 if each.difference.difference > 0 else -1
        for each in verdicts(table, baseline)
        if each.difference is not None and each.p_corrected is not None and is_clear(each.difference, each.p_corrected)
    }


def _against_note(baseline: str, against: dict[tuple[str, str], int]) -> str:
    if not against:
        return f"compared with {baseline}: no row is clearly better or worse (p < 0.05 by Holm's correction)"
    signs = {1: '▲ clearly better', -1: '▼ clearly worse'}
    said = ', '.join(signs[sign] for sign in (1, -1) if sign in against.values())
    return f"{said} than {baseline} (p < 0.05 by Holm's correction, and a 95 % interval without 0)"


def best_note(table: Table, best: str = 'clear') -> list[str]:
    """What bold means in the table, or that nothing is bold; nothing where there is one encoder.

    Args:
        table: The table.
        best: As in `Look`.
    """
    clear = any(clear_best(table, column) for column in table.columns)
    several = any(sum(not cell.published for cell in column.cells.values()) > 1 for column in table.measured)
    if best == 'mean':
        found = [ranks(column) for column in table.columns]
        said = ['bold: best mean of its column'] if any(found) else []
        if any(2 in places.values() for places in found):
            said[0] += ', underlined: the second'
        if clear:
            said.append(clear_note())
        elif several:
            said.append(f'no row is {CLEARLY} all others')
        return said
    if clear:
        return [f'bold: {CLEARLY} every other row measured here, and above published numbers']
    return [f'nothing is bold: no row is {CLEARLY} all others'] if several else []


def clear_note() -> str:
    """What the dagger means."""
    return f'† {CLEARLY} every other row measured here, and above published numbers'


def grid(table: Table) -> list[list[Entry]]:
    """Lines of entries: header, metrics where they differ, the rows, chance, the commonest class where that differs."""
    found = lay_out(table)
    lines = [['encoder', *(f'{c.group}: {c.label}' if c.group else c.label for c in found.columns)]]
    if found.metrics:
        lines.append(['metric', *found.metrics])
    head = [[Entry(text) for text in line] for line in lines]
    names = [*measured_first(table), *(row.name for row in found.rows if row.is_constant)]
    return head + [[Entry(name), *row.entries] for name, row in zip(names, found.rows)]
