"""The live page of a matrix: progress, the table so far, curves of what runs, and what went wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from eval.records import Record, RecordError
from eval.report.live.curves import Curves
from eval.report.live.page import REFRESH_SECONDS, many, now
from eval.report.notes import footnotes
from eval.report.page import page, write_html
from eval.report.page.matrix import Matrix, matrix
from eval.report.page.parts import Command, Grid, Part, Section, Sentences
from eval.report.summaries import Summary
from eval.report.table import Table, select

# Up to this many records, the last state of the page is the whole report; above, it names the command for that.
MOST_FOR_REPORT = 300
MOST_CURVES = 8  # cells whose curves are shown
SHOWN_CURVES = ['loss', 'acc/top1']


class Running(NamedTuple):
    """A cell that runs."""

    name: str
    step: str
    elapsed: str
    left: str
    folder: Path


class State(NamedTuple):
    """What the page shows."""

    headline: str  # how many cells are done, how long it takes
    running: list[Running]
    alarms: list[str]  # failed, stopped and blocked cells with the reason
    waiting: int  # cells that are still to run
    records: list[Record]  # of the cells that are done


class MatrixPage:
    """Makes the page; what has not changed since the last time is not made again.

    Args:
        title: Of the page.
        command: That runs the matrix.
        work_dir: Its work directory.
        summary: A mean of columns to add.
        allow_partial: As in `Table`.
    """

    def __init__(
        self,
        title: str,
        command: str,
        work_dir: Path,
        summary: Summary | None = None,
        allow_partial: bool = False,
    ) -> None:
        self.title, self.command, self.work_dir = title, command, work_dir
        self.summary, self.allow_partial = summary, allow_partial
        self._curves: dict[str, Curves] = {}
        self._made: tuple[frozenset[str], Matrix | None, list[str]] = (frozenset(), None, [])

    def make(self, state: State) -> str:
        """The page while the matrix runs."""
        shown, notes = self._table(state.records)
        results = [Section('results', 'Table so far', [], 'Table')] if shown is not None else []
        return write_html(
            title=self.title,
            sections=[self._progress(state, None), *results, *self._drawn(state)],
            matrix=shown,
            notes=notes,
            command=self.command,
            refresh_seconds=REFRESH_SECONDS,
        )

    def last(self, state: State, ending: str) -> str:
        """The page when the matrix has ended: the whole report, unless it would take long.

        Args:
            state: At the end.
            ending: How it ended, such as `finished`.
        """
        progress = self._progress(state, f'{ending} at {now()}')
        if 0 < len(state.records) <= MOST_FOR_REPORT:
            with contextlib.suppress(RecordError):  # such as damaged predictions: the plain table then stands
                table = self._of(state.records, skip_damaged=True)
                return page(table, title=self.title, command=self.command, before=[progress])
        shown, notes = self._table(state.records)
        report = Command(
            f'python tools/report.py --records {self.work_dir} --out report.html', 'Makes the whole report'
        )
        results = [Section('results', 'Table', [report], 'Table')] if shown is not None else []
        return write_html(
            title=self.title, sections=[progress, *results], matrix=shown, notes=notes, command=self.command
        )

    def _progress(self, state: State, ended: str | None) -> Section:
        parts: list[Part] = [
            Sentences([f'{ended[0].upper()}{ended[1:]}. {state.headline}' if ended else state.headline])
        ]
        if state.alarms:
            parts += [Sentences([f'{many(len(state.alarms), "cell")} did not end well:']), Sentences(state.alarms)]
        if state.running and not ended:
            lines: list[list] = [[each.name, each.step, each.elapsed, each.left] for each in state.running]
            parts.append(Grid(['cell', 'step', 'elapsed', 'left'], lines, 'Cells that run', numbers=(2, 3)))
        if not ended:
            parts.append(Sentences([f'Written at {now()}; {many(state.waiting, "cell")} to run.'], small=True))
        return Section('progress', 'Progress', parts)

    def _drawn(self, state: State) -> list[Section]:
        """Curves of the cells that run and have some."""
        parts: list[Part] = []
        for each in state.running[:MOST_CURVES]:
            curves = self._curves.setdefault(each.name, Curves(each.folder))
            curves.read()
            if pictures := curves.pictures(SHOWN_CURVES):
                parts += [Sentences([each.name]), *pictures]
        return [Section('curves', 'Curves of what runs', parts, 'Curves')] if parts else []

    def _table(self, records: Sequence[Record]) -> tuple[Matrix | None, list[str]]:
        """The heat table and its notes. Intervals come from the scores alone: predictions are not read meanwhile."""
        ids = frozenset(record.cell['id'] for record in records)
        if ids != self._made[0]:
            self._made = (ids, *self._made_table(records))
        return self._made[1:]

    def _made_table(self, records: Sequence[Record]) -> tuple[Matrix | None, list[str]]:
        if not records:
            return None, []
        try:
            table = self._of([replace(record, path=None) for record in records])
        except RecordError as error:
            return None, [f'no table: {error}']
        note = 'While cells run, intervals come from the scores alone; the report narrows them.'
        return matrix(table), [note, *footnotes(table)]

    def _of(self, records: Sequence[Record], skip_damaged: bool = False) -> Table:
        return Table(select(records), allow_partial=self.allow_partial, summary=self.summary, skip_damaged=skip_damaged)
