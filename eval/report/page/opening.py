"""What a reader learns in ten seconds: who wins where, by how much, and how sure that is. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eval.report.differences import difference
from eval.report.page.matrix import in_groups, interval_text
from eval.report.page.parts import Fold, Grid, Link, Part, Sentences, cell_link
from eval.report.statistics import ALPHA, MIN_VIDEOS, Difference, holm, is_clear
from eval.report.table import BASELINE, Column, Table
from eval.report.verdicts import Verdict, p_text

NAMED_COLUMNS = 3  # names of columns in a sentence
MOST_LINES = 12  # of the table of leads; a longer one is folded


class Lead(NamedTuple):
    """The best measured row of a column and how far it is ahead of the next one."""

    column: Column
    best: str
    second: str | None = None  # None: only one row was measured here
    ties: int = 0  # rows that share the first place, when they are several
    gap: float = 0.0  # in the unit of the column; positive is ahead, whatever the direction
    difference: Difference | int | None = None  # as `eval.report.differences.difference`
    p: float | None = None  # Holm's, over the columns of the page

    @property
    def clear(self) -> bool:
        """Whether the lead holds on other test videos: p and interval both say so."""
        return isinstance(self.difference, Difference) and self.p is not None and is_clear(self.difference, self.p)


@dataclass
class Opening:
    """The summary of the page."""

    sentences: list[str]
    leads: list[Lead]


def opening(table: Table, found: Sequence[Verdict] = (), baseline: str = BASELINE, num_missing: int = 0) -> Opening:
    """The summary.

    Args:
        table: The results.
        found: Verdicts against the baseline.
        baseline: The row of those.
        num_missing: Cells of the matrix without a number.
    """
    leads = find_leads(table)
    said = [_overall(table), _wins(leads), _sureness(leads), _against(found, baseline)]
    return Opening([sentence for sentence in (*said, basis(table, num_missing)) if sentence], leads)


def find_leads(table: Table) -> list[Lead]:
    """For each column with a measured row: the best, and its paired difference to the next."""
    found = [_lead(table, column) for column in in_groups(table.measured)]
    leads = [lead for lead in found if lead is not None]
    where = [i for i, lead in enumerate(leads) if isinstance(lead.difference, Difference)]
    for i, p in zip(where, holm([leads[i].difference.p for i in where])):  # type: ignore[union-attr]
        leads[i] = leads[i]._replace(p=p)
    return leads


def _lead(table: Table, column: Column) -> Lead | None:
    measured = {row: c for row, c in column.cells.items() if not c.published and not c.left_out}
    if not measured:
        return None
    sign = -1 if column.higher_is_better else 1
    first, *others = sorted(measured, key=lambda row: sign * measured[row].interval.mean)
    if not others:
        return Lead(column, first)
    top, next_ = measured[first].interval.mean, measured[others[0]].interval.mean
    ties = sum(cell.interval.mean == top for cell in measured.values())
    gap = difference(table, column, measured[first], measured[others[0]])
    return Lead(column, first, others[0], ties if ties > 1 else 0, abs(top - next_), gap)


def lead_grid(leads: list[Lead]) -> Grid:
    """One line per column: who is best, by how much, how sure."""
    lines: list[list[str | Link]] = []
    for lead in leads:
        name, column = cell_link(lead.best, lead.column.name, lead.best), lead.column
        where = ' / '.join(part for part in (column.group, column.label) if part)
        if lead.second is None:
            lines.append([where, name, column.text(column.cells[lead.best].interval.mean), '-', 'nothing to compare'])
            continue
        score = column.text(column.cells[lead.best].interval.mean)
        if lead.ties:
            lines.append([where, f'{lead.ties} rows tie', score, '-', '-'])
        else:
            lines.append([where, name, score, _ahead(lead), _sure(lead)])
    return Grid(['column', 'best', 'score', 'ahead of the next', 'how sure'], lines, numbers=(2,))


def _ahead(lead: Lead) -> str:
    column = lead.column
    text = f'{column.text(lead.gap)} ahead of {lead.second}'
    if isinstance(lead.difference, Difference):
        text += f' [{column.text(lead.difference.low)}, {column.text(lead.difference.high)}]'
    return text


def _sure(lead: Lead) -> str:
    each = lead.difference
    if isinstance(each, Difference) and lead.p is not None:
        return f'{"clear" if lead.clear else "not clear"}, {p_text(each.p, lead.p)}'
    if each:
        return f'unknown: {each} common videos, {MIN_VIDEOS} are needed'
    return 'unknown: no predictions of the same videos'


def _overall(table: Table) -> str:
    """Who has the best mean over a suite."""
    for mean in (column for column in table.columns if column.is_summary):
        sign = -1 if mean.higher_is_better else 1
        rows = sorted(
            (row for row, cell in mean.cells.items() if not cell.published),
            key=lambda row: sign * mean.cells[row].interval.mean,
        )
        if rows:
            best, text = mean.cells[rows[0]], f'{rows[0]} has the best {mean.name}: '
            text += f'{mean.text(best.interval.mean)} [{interval_text(mean, best)}]'
            if rows[1:]:
                second = mean.cells[rows[1]]
                text += f', {mean.text(abs(best.interval.mean - second.interval.mean))} ahead of {rows[1]}'
                text += f' [{interval_text(mean, second)}]'
            return text + '.'
    return ''


def _wins(leads: list[Lead]) -> str:
    """Who is best in how many columns, the most first."""
    compared = [lead for lead in leads if lead.second is not None]
    if not compared:
        rows = list(dict.fromkeys(lead.best for lead in leads))
        if len(rows) == 1:
            return f'Only {rows[0]} was measured, so nothing is compared.'
        return 'No two encoders were measured in the same column, so nothing is compared.' if rows else ''
    counts: dict[str, list[str]] = {}
    for lead in compared:
        if not lead.ties:
            counts.setdefault(lead.best, []).append(_short(lead.column))
    ordered = sorted(counts.items(), key=lambda item: -len(item[1]))
    said = [f'{row} is best in {len(names)} of {len(compared)} columns ({_some(names)})' for row, names in ordered[:1]]
    said += [f'{row} in {len(names)} ({_some(names)})' for row, names in ordered[1:NAMED_COLUMNS]]
    if rest := len(ordered) - NAMED_COLUMNS:
        said += [f'{rest} others in the rest'] if rest > 0 else []
    if ties := sum(bool(lead.ties) for lead in compared):
        said.append(f'{ties} {"column has" if ties == 1 else "columns have"} a tie')
    text = ', '.join(said) + '.'
    return text[0].upper() + text[1:] if not counts else text


def _sureness(leads: list[Lead]) -> str:
    """How many of the leads are clear."""
    compared = [lead for lead in leads if lead.second is not None]
    clear = [lead for lead in compared if lead.clear]
    if not compared:
        return ''
    if not clear:
        return (
            f'No lead is clear: other test videos could turn each of them around (p < {ALPHA:g} after '
            "Holm's correction is needed, and a 95 % interval without 0)."
        )
    names = _some([f'{lead.best} in {_short(lead.column)} by {lead.column.text(lead.gap)}' for lead in clear])
    many = f'The lead is clear in {len(clear)} of {len(compared)} columns' if len(compared) > 1 else 'The lead is clear'
    return f'{many}: {names}.'


def _against(verdicts: Sequence[Verdict], baseline: str) -> str:
    """How many comparisons with the baseline are clear."""
    found = [v for v in verdicts if v.difference is not None]
    clear = [v for v in found if v.p_corrected is not None and is_clear(v.difference, v.p_corrected)]  # type: ignore[arg-type]
    better = sum(v.difference.difference > 0 for v in clear)  # type: ignore[union-attr]
    if not found:
        return ''
    what = 'random weights' if baseline == BASELINE else baseline
    worse, same = len(clear) - better, len(found) - len(clear)
    return (
        f'Against {what}: clearly better in {better} of {len(found)} comparisons, clearly worse in {worse}, no clear '
        f'difference in {same}.'
    )


def basis(table: Table, num_missing: int) -> str:
    """What all of this rests on: encoders, columns, records, seeds, missing cells."""
    measured = [record for record in table.records if not record.published]
    rows = {row for column in table.measured for row, cell in column.cells.items() if not cell.published}
    seeds = sorted({len(c.records) for c in table.cells if not c.published})
    parts = [_count(len(rows), 'encoder'), _count(len(table.measured), 'column'), _count(len(measured), 'record')]
    if seeds:
        span = str(seeds[0]) if seeds[0] == seeds[-1] else f'{seeds[0]} to {seeds[-1]}'
        parts.append(f'{span} {"seed" if seeds[-1] == 1 else "seeds"} per cell')
    published = {row for column in table.measured for row, cell in column.cells.items() if cell.published}
    if published:
        parts.append(_count(len(published), 'published row'))
    return f'{", ".join(parts)}; {_count(num_missing, "cell") if num_missing else "no cell"} missing.'


def section_parts(found: Opening) -> list[Part]:
    """The parts of the summary below its sentences."""
    if not found.leads:
        return [Sentences(['No encoder was measured here.'])]
    grid = lead_grid(found.leads)
    return [
        grid if len(grid.lines) <= MOST_LINES else Fold(f'Who is best in each of {len(grid.lines)} columns', [grid])
    ]


def _short(column: Column) -> str:
    return f'{column.group} {column.label}'.strip()


def _some(names: list[str]) -> str:
    more = len(names) - NAMED_COLUMNS
    return ', '.join(names[:NAMED_COLUMNS]) + (f' and {more} more' if more > 0 else '')


def _count(number: int, word: str) -> str:
    return f'{number} {word}{"" if number == 1 else "s"}'
