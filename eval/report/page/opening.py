"""The top of the page: what a reader learns in ten seconds, and who is best in each column. No torch."""

from __future__ import annotations

from typing import NamedTuple

from eval.report.aligned import encoders
from eval.report.differences import clear_best, difference
from eval.report.page.matrix import in_groups
from eval.report.page.parts import Fold, Grid, Link, Part, cell_link
from eval.report.statistics import MIN_VIDEOS, Difference
from eval.report.statistics_text import conclusions
from eval.report.table import Column, Table

MOST_LINES = 12  # of the table of leads; a longer one is folded


class Lead(NamedTuple):
    """The best encoder of a column and how far it is ahead of the next one."""

    column: Column
    best: str
    second: str | None = None  # None: only one encoder was measured here
    ties: int = 0  # encoders that share the first place, where they are several
    gap: float = 0.0  # in the unit of the column; positive is ahead, whatever the direction
    difference: Difference | int | None = None  # as `eval.report.differences.difference`
    clear: bool = False  # ahead of all others, as for a verdict (`clear_best`)


def opening(table: Table) -> list[str]:
    """The sentences of the summary: who wins where, by how much, and how sure that is; then what there is.

    Args:
        table: The results.
    """
    return [*conclusions(table), basis(table)]


def find_leads(table: Table) -> list[Lead]:
    """For each column with an encoder: the best, and its paired difference to the next; random weights do not count."""
    found = [_lead(table, column) for column in in_groups(table.measured)]
    return [lead for lead in found if lead is not None]


def _lead(table: Table, column: Column) -> Lead | None:
    measured = {row: column.cells[row] for row in encoders(column) if not column.cells[row].published}
    if not measured:
        return None
    sign = -1 if column.higher_is_better else 1
    first, *others = sorted(measured, key=lambda row: sign * measured[row].interval.mean)
    if not others:
        return Lead(column, first)
    top, next_ = measured[first].interval.mean, measured[others[0]].interval.mean
    ties = sum(cell.interval.mean == top for cell in measured.values())
    found = difference(table, column, measured[first], measured[others[0]])
    clear = clear_best(table, column) == first
    return Lead(column, first, others[0], ties if ties > 1 else 0, abs(top - next_), found, clear)


def lead_parts(leads: list[Lead]) -> list[Part]:
    """A table with one line per column of two encoders or more: who is best, by how much, how sure."""
    leads = [lead for lead in leads if lead.second is not None]
    if not leads:
        return []
    grid = Grid(['column', 'best', 'score', 'ahead of the next', 'how sure'], [*map(_line, leads)], numbers=(2,))
    return [grid if len(leads) <= MOST_LINES else Fold(f'Who is best in each of {len(leads)} columns', [grid])]


def _line(lead: Lead) -> list[str | Link]:
    column = lead.column
    where = ' / '.join(part for part in (column.group, column.label) if part)
    score = column.text(column.cells[lead.best].interval.mean)
    name = cell_link(lead.best, column.name, lead.best)
    if lead.ties:
        return [where, f'{lead.ties} encoders tie', score, '-', '-']
    return [where, name, score, _ahead(lead), _sure(lead)]


def _ahead(lead: Lead) -> str:
    column = lead.column
    text = f'{column.text(lead.gap)} ahead of {lead.second}'
    if isinstance(lead.difference, Difference):
        text += f' [{column.text(lead.difference.low)}, {column.text(lead.difference.high)}]'
    return text


def _sure(lead: Lead) -> str:
    each = lead.difference
    if isinstance(each, Difference):
        return 'clear' if lead.clear else 'not clear'
    if each:
        return f'unknown: {each} common videos, {MIN_VIDEOS} are needed'
    return 'unknown: no predictions of the same videos'


def basis(table: Table) -> str:
    """What all of this rests on: `5 encoders in 8 columns, from 40 records.`"""
    measured = [record for record in table.records if not record.published]
    rows = {row for column in table.measured for row, cell in column.cells.items() if not cell.published}
    published = {row for column in table.measured for row, cell in column.cells.items() if cell.published}
    text = f'{_count(len(rows), "encoder")} in {_count(len(table.measured), "column")}'
    text += f', from {_count(len(measured), "record")}'
    return text + (f', beside {_count(len(published), "published row")}.' if published else '.')


def _count(number: int, word: str) -> str:
    return f'{number} {word}{"" if number == 1 else "s"}'
