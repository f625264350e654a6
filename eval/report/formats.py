"""The table as text, Markdown, CSV and a pandas frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from eval.report.differences import clear_best
from eval.report.notes import footnotes
from sigma.text import align

if TYPE_CHECKING:
    import pandas as pd

    from eval.report.table import Column, Table, TableCell

CLEARLY = "clearly better (p < 0.05 by Holm's correction, and a 95 % interval without 0) than"


class Entry(NamedTuple):
    """One entry as shown: `83.2`, `*`, ` [80.1, 86.0] n=3`; most have `value` alone."""

    value: str
    mark: str = ''
    rest: str = ''
    best: bool = False  # clearly better than the others of its column

    def text(self) -> str:
        """For a terminal."""
        return f'{self.value}{self.mark}{self.rest}'

    def markdown(self) -> str:
        """For Markdown: in bold where it is clearly the best of its column."""
        value = f'**{self.value}**' if self.best else self.value
        return f'{value}{_escaped(self.mark)}{self.rest}'


def grid(table: Table) -> list[list[Entry]]:
    """Lines of entries: header, metrics where they differ, the rows, chance, the commonest class where that differs."""
    lines = [['encoder', *(column.name for column in table.columns)]]
    if len({column.metric_label for column in table.measured}) > 1:
        lines.append(['metric', *(column.metric_label for column in table.columns)])
    entries = [[Entry(text) for text in line] for line in lines]
    entries += [[Entry(row), *(_entry(table, column, row) for column in table.columns)] for row in table.rows]
    entries.append(_constant(table, 'chance', [column.chance for column in table.columns]))
    if any(column.is_unbalanced for column in table.columns):
        entries.append(_constant(table, 'commonest class', [column.commonest for column in table.columns]))
    return entries


def _constant(table: Table, name: str, values: list[float | None]) -> list[Entry]:
    """A line of what is reached without looking at the videos."""
    said = [column.text(value) if value is not None else '-' for column, value in zip(table.columns, values)]
    return [Entry(name), *map(Entry, said)]


def _entry(table: Table, column: Column, row: str) -> Entry:
    cell = column.cells.get(row)
    if cell is None:
        return Entry('-' if column.is_summary else 'missing')
    mean, low, high = cell.interval[:3]
    rest = '' if math.isnan(low) else f' [{column.text(low)}, {column.text(high)}]'
    rest += '' if cell.published else f' n={cell.num_seeds}'
    return Entry(column.text(mean), cell.mark, rest, best=clear_best(table, column) == row)


def text(table: Table) -> str:
    """For a terminal: `83.2 [80.1, 86.0] n=3`, rows of chance and the commonest class, and the notes below."""
    lines = [[entry.text() for entry in line] for line in grid(table)]
    return '\n'.join([align(lines, rule=True), '', *footnotes(table)]).rstrip() + '\n'


def markdown(table: Table) -> str:
    """As `text`, as Markdown, with what is clearly the best of a column in bold."""
    lines = [[entry.markdown() for entry in line] for line in grid(table)]
    notes = [f'{_escaped(note)}\n' for note in [*best_note(table), *footnotes(table)]]
    return '\n'.join([align(lines, markdown=True), '', *notes]).rstrip() + '\n'


def csv(table: Table) -> str:
    """`frame` as CSV with four digits, for a spreadsheet or another program."""
    return frame(table).to_csv(index=False, float_format='%.4f', lineterminator='\n')


def frame(table: Table) -> pd.DataFrame:
    """The table in long form: one line for each row and column.

    Columns: encoder, protocol, dataset, subset, metric, unit; mean, low and high (95 %) in that unit; n (seeds),
    coverage (percent), num_videos, chance, commonest (score of the commonest class, where known); `interval`, how it
    was computed; `in_means`, False where too few videos were scored. A row that has no mean over a suite says in
    `interval` what it lacks.
    """
    import pandas as pd

    lines = [
        {**_where(column, row), **_numbers(cell), 'num_videos': cell.interval.num_videos}
        | {'chance': column.chance, 'commonest': column.commonest}
        | {'interval': cell.interval.how, 'in_means': not cell.left_out}
        for column in table.columns
        for row, cell in column.cells.items()
    ]
    lines += [
        # n and num_videos are given too: a gap would turn columns of whole numbers into floats.
        _where(column, row) | {'n': 0, 'num_videos': 0, 'interval': f'lacks {"; ".join(names)}', 'in_means': False}
        for column in table.columns
        for row, names in column.lacks.items()
    ]
    return pd.DataFrame(lines)


def best_note(table: Table) -> list[str]:
    """What bold means in the table, or that nothing is bold; nothing where there is one encoder."""
    if any(clear_best(table, column) for column in table.columns):
        return [f'bold: {CLEARLY} every other row measured here, and above published numbers']
    several = any(sum(not cell.published for cell in column.cells.values()) > 1 for column in table.measured)
    return [f'nothing is bold: no row is {CLEARLY} all others'] if several else []


def _where(column: Column, row: str) -> dict[str, object]:
    return {
        'encoder': row,
        'protocol': column.protocol,
        'dataset': column.dataset,
        'subset': column.subset or ('' if column.is_summary else 'all'),
        'metric': column.metric,
        'unit': column.unit,
    }


def _numbers(cell: TableCell) -> dict[str, object]:
    mean, low, high, num_seeds, *_ = cell.interval
    return {'mean': mean, 'low': low, 'high': high, 'n': num_seeds, 'coverage': cell.coverage}


def _escaped(text: str) -> str:
    return text.replace('*', '\\*')


# Names of `--table` -> how the table is written.
FORMATS = {'text': text, 'markdown': markdown, 'csv': csv}
