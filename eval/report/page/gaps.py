"""Cells of the matrix without a record, or with fewer seeds than others, and the commands that fill them. No torch."""

from __future__ import annotations

import re
from typing import NamedTuple

from eval.records import Record, subset_name
from eval.report.page.matrix import in_groups
from eval.report.page.places import command_of, encoder_argument, suite_entries, work_dir
from eval.report.table import Column, Table
from sigma.text import shell_join

MOST_COMMANDS = 12


class Gap(NamedTuple):
    """A cell that lacks seeds."""

    row: str
    column: Column
    seeds: list[int]  # those that other cells have and this one lacks
    empty: bool  # it has no record at all


class Filling(NamedTuple):
    """A command, and what it fills."""

    command: str
    fills: str


def find_gaps(table: Table) -> list[Gap]:
    """All cells of measured rows and columns that lack a seed which the table has elsewhere.

    Args:
        table: The results.
    """
    rows = [r for r in table.rows if any(r in c.cells and not c.cells[r].published for c in table.measured)]
    gaps = []
    for column in in_groups(table.measured):
        if all(cell.published for cell in column.cells.values()):
            continue
        wanted = {record.seed for cell in column.cells.values() for record in cell.records if record.seed is not None}
        for row in rows:
            cell = column.cells.get(row)
            found = {record.seed for record in cell.records} if cell else set()
            if lacking := sorted(seed for seed in wanted - found):
                gaps.append(Gap(row, column, lacking, cell is None))
    return gaps


def fillings(table: Table, gaps: list[Gap]) -> list[Filling]:
    """Commands that fill the gaps: one per suite where a suite has their columns, else one per cell.

    Cells that have a record do not run again, so a command may name more encoders and seeds than it has to run.

    Args:
        table: The results.
        gaps: As `find_gaps` gives them.
    """
    encoders = _encoders(table)
    left, found = list(gaps), []
    while left:
        suite, covered = _widest_suite(left)
        if not covered:
            break
        found.append(_by_suite(suite, covered, encoders))
        left = [gap for gap in left if gap not in covered]
    for gap in left[: max(0, MOST_COMMANDS - len(found))]:
        base = next(r for cell in gap.column.cells.values() for r in cell.records if not r.published)
        for seed in gap.seeds[:1]:
            text = command_of(base, encoder_argument(encoders[gap.row]), seed)
            found.append(Filling(text, f'{gap.row} in {gap.column.name}, seed {seed}'))
    return found


def _encoders(table: Table) -> dict[str, Record]:
    """A record of each measured row."""
    return {
        row: cell.records[0] for column in table.measured for row, cell in column.cells.items() if not cell.published
    }


def _widest_suite(gaps: list[Gap]) -> tuple[str, list[Gap]]:
    """The suite that has the columns of the most gaps, and those gaps; the shorter suite where two have as many."""
    best: tuple[tuple[int, int, str], list[Gap]] = ((0, 0, ''), [])
    for name, entries in suite_entries().items():
        keys = {(e.get('protocol'), e.get('dataset'), subset_name(e.get('shots'), e.get('examples'))) for e in entries}
        covered = [gap for gap in gaps if _key(gap.column) in keys]
        best = min(best, ((-len(covered), len(entries), name), covered), key=lambda found: found[0])
    return best[0][2], best[1]


def _key(column: Column) -> tuple[str, str, str | None]:
    """Protocol, dataset and subset as a suite names them: without the limit of a trial."""
    return column.protocol, column.dataset, re.sub(r'_?limit_\d+$', '', column.subset or '') or None


def _by_suite(suite: str, covered: list[Gap], encoders: dict[str, Record]) -> Filling:
    rows = list(dict.fromkeys(gap.row for gap in covered))
    seeds = sorted({seed for gap in covered for seed in gap.seeds})
    protocols = list(dict.fromkeys(gap.column.protocol for gap in covered))
    all_protocols = {entry.get('protocol') for entry in suite_entries()[suite]}
    record = encoders[rows[0]]
    limits = {r.get('dataset.limit') for g in covered for c in g.column.cells.values() for r in c.records}
    limit = max((number for number in limits if number), default=None)
    words = ['python', 'eval/run_severe.py', '--suite', suite]
    words += ['--protocols', *protocols] if set(protocols) != all_protocols else []
    words += ['--encoders', *dict.fromkeys(encoder_argument(encoders[row]) for row in rows)]
    words += ['--seeds', *map(str, seeds), '--work-dir', str(work_dir(record) or 'work_dirs/more')]
    words += ['--limit', str(limit)] if limit else []
    number = len(covered)
    return Filling(shell_join(words), f'{number} {"cell" if number == 1 else "cells"} of the suite {suite}')
