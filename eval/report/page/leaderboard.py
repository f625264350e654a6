"""A leaderboard: records of several people in one table, and for each number who measured it, with links. No torch.

A person is a folder of records: `DIR`, named after the folder, or `NAME=DIR`. Encoders that share a name but not their
weights get the person's name behind theirs. What the table refuses (other lists, other protocol versions) is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from eval.records import Record, RecordError, find_log, readable_records
from eval.report.metrics import under_metric
from eval.report.order import kept_order, select
from eval.report.page.matrix import in_groups
from eval.report.page.parts import Fold, Grid, Link, Part, Section, Sentences, cell_link
from eval.report.papers import read_paper
from eval.report.ranks import critical_difference
from eval.report.summaries import Summary
from eval.report.table import Column, Table

OPEN_LINES = 100  # up to this many numbers are shown at once


class Board(NamedTuple):
    """The table of a leaderboard."""

    table: Table
    owners: dict[str, list[str]]  # id of a cell -> people whose folders hold it
    people: dict[str, Path]  # name -> folder, in the order given


def read_board(
    places: Sequence[str],
    papers: Iterable[str] = (),
    *,
    summary: Summary | None = None,
    metric: str | None = None,
    allow_partial: bool = False,
) -> Board:
    """Read the folders of all people.

    Args:
        places: `DIR` or `NAME=DIR`.
        papers, summary, metric, allow_partial: As in `Table.read`.

    Raises:
        RecordError: if a name is there twice, and as `Table.read`.
    """
    people = name_people(places)
    records: list[Record] = []
    owners: dict[str, list[str]] = {}
    faults: list[str] = []
    by_person: dict[str, list[Record]] = {}
    for name, folder in people.items():
        by_person[name], damaged = readable_records(folder)
        faults += damaged
        for record in by_person[name]:
            owners.setdefault(record.cell['id'], []).append(name)
    apart = _several_weights(record for found in by_person.values() for record in found)
    for name, found in by_person.items():
        records += [_renamed(record, name) if record.encoder['name'] in apart else record for record in found]
    records += [record for paper in papers for record in read_paper(paper, summary.columns if summary else ())]
    kept = select(records, first=kept_order(list(people.values())))
    kept = under_metric(kept, metric) if metric else kept
    table = Table(kept, allow_partial=allow_partial, summary=summary, skip_damaged=True)
    table.faults = [*faults, *table.faults]
    return Board(table, owners, people)


def name_people(places: Sequence[str]) -> dict[str, Path]:
    """Name -> folder.

    Raises:
        RecordError: if two folders have one name; says how to name them.
    """
    people: dict[str, Path] = {}
    for place in places:
        name, given, folder = place.partition('=')
        if not given or Path(place).exists():
            name, folder = _usual_name(Path(place)), place
        if not name or not folder:
            raise RecordError(f'{place} was given; NAME=DIR is needed, such as alice=shared/alice')
        if name in people:
            raise RecordError(f'{people[name]} and {folder} are both called {name}; name them, as in alice={folder}')
        people[name] = Path(folder)
    return people


def _usual_name(folder: Path) -> str:
    """The last part of a path: `alice` for `shared/alice` and for `shared/alice/records`."""
    parts = [part for part in folder.resolve().parts if part != 'records']
    return parts[-1]


def _several_weights(records: Iterable[Record]) -> set[str]:
    """Names of encoders that stand for more than one set of weights."""
    weights: dict[str, set[str | None]] = {}
    for record in records:
        if not record.published and record.get('encoder.checkpoint'):
            weights.setdefault(record.encoder['name'], set()).add(record.get('encoder.sha256'))
    return {name for name, found in weights.items() if len(found) > 1}


def _renamed(record: Record, person: str) -> Record:
    return replace(record, encoder=record.encoder | {'name': f'{record.encoder["name"]} ({person})'})


def sections(board: Board, out: str | Path) -> tuple[list[Section], list[Section]]:
    """Sections above and below the results: the ranking and who took part; every number with its links.

    Args:
        board: As `read_board` gives it.
        out: File of the page. Links to records and logs are relative to its folder.
    """
    numbers = _numbers(board, Path(out).resolve().parent)
    return [_ranking(board), _people(board)], [numbers]


def _ranking(board: Board) -> Section:
    """Encoders by the mean of the suite, else by average rank, else by the number of columns."""
    table = board.table
    found = critical_difference(table)
    ranks = dict(zip(found.rows, found.ranks))
    mean = next((column for column in table.columns if column.is_summary), None)
    columns = list(table.measured)
    best = {column.key: _best(column) for column in columns}

    def place(row: str) -> tuple:
        has_mean = mean is not None and row in mean.cells
        return (
            not has_mean,
            -mean.cells[row].interval.mean if mean is not None and has_mean else 0.0,
            row not in ranks,
            ranks.get(row, 0.0),
            -sum(row in column.cells for column in columns),
        )

    lines: list[list[str | Link]] = []
    for number, row in enumerate(sorted(table.rows, key=place), start=1):
        cells = [column.cells[row] for column in columns if row in column.cells]
        who = dict.fromkeys(name for cell in cells for r in cell.records for name in board.owners.get(r.cell['id'], ()))
        first = next(column for column in columns if row in column.cells)
        line: list[str | Link] = [str(number), cell_link(row, first.name, row), ', '.join(who) or 'published']
        if mean is not None:
            line.append(mean.text(mean.cells[row].interval.mean) if row in mean.cells else '-')
        rank = f'{ranks[row]:.2f}' if row in ranks else '-'
        wins = sum(best[column.key] == row for column in columns)
        lines.append([*line, rank, f'{len(cells)} of {len(columns)}', str(wins)])
    head = ['', 'encoder', 'measured by', *([mean.name] if mean else []), 'average rank', 'columns', 'best in']
    by = f'the mean {mean.name}' if mean else 'average rank over the columns that all of them have'
    notes = [f'Sorted by {by}; encoders without it come last.', *found.sentences]
    return Section('ranking', 'Ranking', [Grid(head, lines, numbers=(0,)), Sentences(notes, small=True)])


def _best(column: Column) -> str | None:
    """The row with the best mean; None where rows tie or one stands alone."""
    rows = [row for row, cell in column.cells.items() if not cell.left_out and cell.interval.mean == column.best]
    return rows[0] if len(rows) == 1 else None


def _people(board: Board) -> Section:
    """Whose folders these are."""
    kept = {record.cell['id']: record for record in board.table.records}
    lines: list[list[str | Link]] = []
    for name, folder in board.people.items():
        own = [kept[key] for key, owners in board.owners.items() if name in owners and key in kept]
        commits = dict.fromkeys((r.get('run.commit') or 'unknown')[:10] for r in own)
        changed = sum(record.get('run.clean') is False for record in own)
        newest = max((r.get('run.started') or '' for r in own), default='')[:10]
        code = ', '.join(commits) + (f' ({changed} records with changed code)' if changed else '')
        encoders = len({record.encoder['name'] for record in own})
        lines.append([name, str(folder), str(len(own)), str(encoders), newest or '-', code or '-'])
    head = ['name', 'folder', 'records', 'encoders', 'newest', 'code']
    return Section('people', 'Who measured', [Grid(head, lines, numbers=(2, 3))])


def _numbers(board: Board, start: Path) -> Section:
    """One line per record, with links to the record, its log and its command."""
    link = _linker(start)
    lines: list[list[str | Link]] = []
    for column in in_groups(board.table.measured):
        for row, cell in column.cells.items():
            for record in cell.records:
                if record.published or record.path is None:
                    continue
                log = find_log(record)
                lines.append(
                    [
                        row,
                        column.name,
                        '-' if record.seed is None else str(record.seed),
                        cell_link(row, column.name, column.text(record.score['value'])),
                        ', '.join(board.owners.get(record.cell['id'], ())),
                        link('record', record.path),
                        '-' if log is None else link('log', log),
                        cell_link(row, column.name, 'command'),
                    ]
                )
    head = ['encoder', 'column', 'seed', 'score', 'measured by', 'record', 'log', 'command']
    grid = Grid(head, lines, numbers=(2, 3))
    shown: Part = grid if len(lines) <= OPEN_LINES else Fold(f'All {len(lines)} numbers', [grid])
    note = 'Links to records and logs work where their folders lie beside this page as they did when it was made.'
    return Section('numbers', 'Every number', [shown, Sentences([note], small=True)])


def _linker(start: Path) -> Callable[[str, Path], Link]:
    """A function that makes links relative to the folder of the page."""

    def link(text: str, path: Path) -> Link:
        return Link(text, quote(os.path.relpath(path.resolve(), start)))

    return link
