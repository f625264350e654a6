"""The results table: computed and checked once from records; everything else is drawn from it. No torch.

Table(records) -> formats   text, Markdown and CSV
               -> verdicts  which encoder beat the baseline
               -> sweeps    encoders under corruptions
               -> figures   bars, severity curves, heat map
               -> page      all of these in one HTML file
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics import METRICS, Predictions
from eval.metrics.metric import DIGITS
from eval.records import Record, RecordError, check_comparable, check_versions, coverage, is_partial, readable_records
from eval.report import INCOMPLETE, LEFT_OUT, NOT_COMPARABLE
from eval.report.measured import Measured, measure
from eval.report.metrics import under_metric
from eval.report.naming import name_columns, unfilled
from eval.report.order import BASELINE as BASELINE
from eval.report.order import kept_order, without_copies
from eval.report.order import select as select
from eval.report.papers import read_paper
from eval.report.statistics import Interval
from eval.report.stored import Answered, Stored
from eval.report.summaries import Key, Summary
from eval.report.variances import FEW_SEEDS, pool

DEFAULT_RECIPE = 'default'


@dataclass
class TableCell:
    """One encoder in one column: one record per seed. In a summary column: all records behind the mean."""

    records: list[Record]
    interval: Interval  # low and high are NaN for a published number
    left_out: bool = False  # of means, best and verdicts, because too few videos were scored
    parts: list[TableCell] = field(default_factory=list)  # in a summary column: the cells that it averages

    @property
    def scores(self) -> list[float]:
        """One score per seed; empty in a summary column, since its columns may have different seeds."""
        return [] if self.parts else [record.score['value'] for record in self.records]

    @property
    def published(self) -> bool:
        """Whether all its numbers come from papers."""
        return all(record.published for record in self.records)

    @property
    def comparable(self) -> bool:
        """Whether it may be compared with numbers that were measured here."""
        return not any(note.startswith(NOT_COMPARABLE) for r in self.records if r.published for note in r.notes)

    @property
    def coverage(self) -> float:
        """Lowest coverage of its records in percent; 100 where a published number does not say."""
        return min(100.0 if (share := coverage(record)) is None else share for record in self.records)

    @property
    def num_seeds(self) -> str:
        """`3`, or `1-3` where the columns of a summary have different numbers of seeds."""
        counts = {part.interval.num_seeds for part in self.parts if not part.published} or {self.interval.num_seeds}
        return '-'.join(map(str, sorted({min(counts), max(counts)})))

    @property
    def mark(self) -> str:
        """The mark behind its number, or ''."""
        return LEFT_OUT if self.left_out else INCOMPLETE if self.coverage < 100 else ''


@dataclass
class Column:
    """Comparable records of one protocol, dataset and kind of subset; or the mean of several such columns."""

    protocol: str  # of a summary: its name
    dataset: str
    subset: str | None  # None is the whole training list
    metric: str
    unit: str
    higher_is_better: bool
    num_classes: int | None = None
    chance: float | None = None  # score without looking at the videos (Metric.chance); None if unknown
    commonest: float | None = None  # score of always giving the commonest answer of the test videos; None if unknown
    cells: dict[str, TableCell] = field(default_factory=dict)  # row -> cell
    # Of a summary: row without a mean -> names of the columns that it lacks.
    lacks: dict[str, list[str]] = field(default_factory=dict)
    is_summary: bool = False
    # Short name within its group, such as `GYM99 (1000)`, and the group that papers put it in, such as `domain shift`
    # ('' for a summary). The table gives both (eval/report/naming.py).
    label: str = ''
    group: str = ''

    @property
    def key(self) -> Key:
        """(protocol, dataset, kind of subset)."""
        return self.protocol, self.dataset, self.subset

    @property
    def name(self) -> str:
        """`finetune / toy / 5-a-class`."""
        return _name(self.key)

    @property
    def metric_label(self) -> str:
        """The metric as a reader calls it: `top-1 accuracy`."""
        return METRICS[self.metric].label if self.metric in METRICS else self.metric.replace('_', ' ')

    @property
    def is_unbalanced(self) -> bool:
        """Whether always giving the commonest answer scores more than a tenth above chance."""
        return self.commonest is not None and self.chance is not None and self.commonest > 1.1 * self.chance

    @property
    def counted(self) -> dict[str, TableCell]:
        """Cells to rank: none that is left out, and beside measured ones no published one that is not comparable."""
        found = {row: cell for row, cell in self.cells.items() if not cell.left_out}
        alone = all(cell.published for cell in found.values())
        return {row: cell for row, cell in found.items() if alone or cell.comparable}

    @property
    def best(self) -> float | None:
        """Best mean among the `counted`; None if fewer than two count. It may be so by luck (`clear_best`)."""
        means = [cell.interval.mean for cell in self.counted.values()]
        return None if len(means) < 2 else max(means) if self.higher_is_better else min(means)

    def text(self, value: float, sign: str = '') -> str:
        """A number of this column with its digits: one for percent, three for ratios."""
        return f'{value:{sign}.{DIGITS.get(self.unit, 1)}f}'


class Table:
    """Results of encoders: one row each, one column for each protocol, dataset and kind of subset.

    Everything is checked and computed here, once. Predictions are read here too, and kept for verdicts and sweeps as
    far as there is room (eval/report/stored.py).

    Args:
        records: In the order to show (`select` sorts them). A record that is given twice counts once.
        allow_partial: Let records that scored fewer than 99 % of their videos count like the others.
        summary: A mean of some columns to add as the last column.
        skip_damaged: Leave out records whose predictions are damaged, and name them in `faults`; else they are refused.
        suite: Name or path of the suite whose groups the columns have; None: the one that holds most of them.

    Attributes:
        records: Without copies.
        unfilled: Columns of the given suite in which nothing was measured, also in a part of the table.
        measured: Columns in the order of their first record.
        columns: The same as shown: with a summary, its columns come last, in its order, and then their mean.
        every_row: Rows of the whole table, which a part of it (`only`) keeps, so that colours stay the same.
        answers: What statistics need of the predictions of each (column, row) that has them.
        faults: Sentences on files that were left out because they are damaged or no records. Commands print them and
            exit with 1 (`sigma.commands.told_faults`).

    Raises:
        RecordError: if a protocol has several versions, records of a column are not comparable (`check_comparable`), a
            row holds two sets of weights or one seed twice, stored predictions give another score than their record, or
            a column cannot enter the mean.
    """

    def __init__(
        self,
        records: Iterable[Record],
        *,
        allow_partial: bool = False,
        summary: Summary | None = None,
        skip_damaged: bool = False,
        suite: str | None = None,
    ) -> None:
        self.records = without_copies(records)
        check_versions(self.records)
        self._stored = Stored(skip_damaged)
        self.clear: dict[Key, str | None] = {}  # rows that are clearly best (eval/report/differences.py)
        self.found: dict[tuple, Any] = {}  # statistics of several columns (eval/report/aligned.py), computed once
        self._measured: dict[tuple[Key, str], Measured] = {}
        groups = _by_column(self.records)
        several = _several_recipes(groups)
        name_sources = len({record.identity.get('table') for record in self.records if record.published}) > 1
        self.measured = [
            self._column(key, members, _rows(members, several, name_sources), allow_partial)
            for key, members in groups.items()
        ]
        self._drop_damaged()
        _pool_seeds(self.measured, self._measured)
        self.answers = {place: each.answers for place, each in self._measured.items() if each.answers is not None}
        self._measured = {}  # scorers hold all predictions
        self.columns = self.measured if summary is None else _with_summary(self.measured, summary)
        self.unfilled = unfilled(self.measured, suite)
        name_columns(self.columns, suite)
        self.every_row = self.rows

    @classmethod
    def read(
        cls,
        places: Iterable[str | Path] = (),
        papers: Iterable[str] = (),
        *,
        encoders: Sequence[str] | None = None,
        protocols: Sequence[str] | None = None,
        datasets: Sequence[str] | None = None,
        allow_partial: bool = False,
        summary: Summary | None = None,
        metric: str | None = None,
        suite: str | None = None,
    ) -> Table:
        """The table of all records in some work directories, beside numbers from papers.

        Args:
            places: Work directories, folders of records, or single records.
            papers: Names of tables of `eval.report.papers`.
            encoders, protocols, datasets: Keep these only, in this order (`select`).
            allow_partial, summary: As in `Table`.
            metric: Show this metric where records have the labels for it (`under_metric`); None: each its own.
            suite: Keep the columns of this suite only, in its order and with its groups (`select`).

        Damaged records, and JSON files that are no records, are left out; `faults` names them.

        Raises:
            RecordError: as `readable_records`, `read_paper`, `select`, `under_metric` and `Table`.
        """
        places = list(places)
        records, faults = [], []
        for place in places:
            found, damaged = readable_records(place)
            records += found
            faults += damaged
        wanted = summary.columns if summary else ()
        records += [record for paper in papers for record in read_paper(paper, wanted)]
        kept = select(records, encoders, protocols, datasets, suite, kept_order(places))
        kept = under_metric(kept, metric) if metric else kept
        table = cls(kept, allow_partial=allow_partial, summary=summary, suite=suite, skip_damaged=True)
        table.faults = list(dict.fromkeys(faults)) + table.faults
        return table

    @property
    def rows(self) -> list[str]:
        """Names of all rows: those of the fullest column first; others before the row that follows them elsewhere."""
        by_size = [list(column.cells) for column in sorted(self.measured, key=lambda column: -len(column.cells))]
        found = list(by_size[0]) if by_size else []
        seen = set(found)
        for names in by_size[1:]:
            for number, row in enumerate(names):
                if row not in seen:
                    after = next((found.index(other) for other in names[number:] if other in seen), len(found))
                    found.insert(after, row)
                    seen.add(row)
        return found

    @property
    def cells(self) -> list[TableCell]:
        """All cells, column by column, without those of a summary."""
        return [cell for column in self.measured for cell in column.cells.values()]

    def predictions(self, record: Record) -> Predictions | None:
        """Predictions of one of its records, sorted by video; None where none are stored."""
        return self._stored.of(record)

    def answered(self, record: Record) -> Answered | None:
        """Which class one of its records gave to each video; None where that is unknown. It is always in memory."""
        return self._stored.answered(record)

    def only(self, keep: Callable[[Column], bool]) -> Table:
        """This table with the columns for which `keep` is true, and the summary. Computes and reads nothing."""
        part = copy.copy(self)
        part.measured = [column for column in self.measured if keep(column)]
        part.columns = [column for column in self.columns if column.is_summary or keep(column)]
        kept = {record.cell['id'] for cell in part.cells for record in cell.records}
        part.records = [record for record in self.records if record.cell['id'] in kept]
        return part

    def __str__(self) -> str:
        from eval.report.formats import text

        return text(self)

    def _drop_damaged(self) -> None:
        """Drop records whose predictions are damaged, and columns without any other.

        Raises:
            RecordError: if no record is left.
        """
        self.faults = self._stored.faults
        self.records = [record for record in self.records if record.cell['id'] not in self._stored.damaged]
        self.measured = [column for column in self.measured if column.cells]
        if not self.measured and self.faults:
            raise RecordError(self.faults[0])

    def _column(self, key: Key, members: list[Record], rows: dict[str, list[Record]], allow_partial: bool) -> Column:
        """The column of these records, checked."""
        check_comparable(members)
        score = members[0].score
        column = Column(*key, score['metric'], score['unit'], score['higher_is_better'])
        column.num_classes = next((n for m in members if (n := m.dataset['num_classes'])), None)
        labels: np.ndarray | None = None
        for row, seeds in rows.items():
            _check_row(row, seeds, column.name)
            seeds, predictions = self._stored.read(seeds)
            if not seeds:
                continue
            left_out = not allow_partial and any(map(is_partial, seeds))
            self._measured[key, row] = measure(seeds, predictions)
            column.cells[row] = TableCell(seeds, self._measured[key, row].interval, left_out)
            for found in predictions:
                if found is not None and (labels is None or len(found.label) > len(labels)):
                    labels = found.label
        if column.metric in METRICS and column.num_classes:
            column.chance = METRICS[column.metric].chance(column.num_classes, labels)
        if column.metric in METRICS and labels is not None:
            column.commonest = METRICS[column.metric].commonest(labels)
        return column


def _name(key: Key) -> str:
    return ' / '.join(part for part in key if part)


# --- rows ------------------------------------------------------------------------------------------------------------


def _several_recipes(groups: dict[Key, list[Record]]) -> set[tuple[str, str]]:
    """(encoder, protocol) pairs with more than one recipe in a column; their rows are named by recipe too."""
    found = set()
    for (protocol, *_), members in groups.items():
        recipes: dict[str, set[str | None]] = {}
        for record in members:
            recipes.setdefault(record.encoder['name'], set()).add(record.get('recipe.name'))
        found |= {(encoder, protocol) for encoder, names in recipes.items() if len(names) > 1}
    return found


def _rows(members: list[Record], several: set[tuple[str, str]], name_sources: bool) -> dict[str, list[Record]]:
    """Row -> its records, by seed."""
    result: dict[str, list[Record]] = {}
    for record in members:
        row, recipe = record.encoder['name'], record.get('recipe.name')
        if (row, record.protocol['name']) in several and recipe not in (None, DEFAULT_RECIPE):
            row += f' [{recipe}]'
        if record.published:
            source = record.identity.get('table')
            row += f' (published, {source})' if name_sources and source else ' (published)'
        result.setdefault(row, []).append(record)
    return {row: sorted(seeds, key=lambda record: record.seed or 0) for row, seeds in result.items()}


def _by_column(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """Column -> its records."""
    groups: dict[Key, list[Record]] = {}
    for record in records:
        key = (record.protocol['name'], record.dataset['name'], record.get('subset.name'))
        groups.setdefault(key, []).append(record)
    return groups


def check_alike(records: Iterable[Record]) -> None:
    """Check that records may stand in one table, without their predictions.

    Raises:
        RecordError: as `Table`, and if two records of one cell have different scores.
    """
    kept = without_copies(records)
    check_versions(kept)
    groups = _by_column(kept)
    several = _several_recipes(groups)
    for key, members in groups.items():
        check_comparable(members)
        for row, seeds in _rows(members, several, name_sources=True).items():
            _check_row(row, seeds, _name(key))


def _check_row(row: str, seeds: list[Record], column: str) -> None:
    """Refuses records of a row that are not seeds of one measurement."""
    weights = {record.get('encoder.sha256'): record.name for record in seeds if record.get('encoder.checkpoint')}
    if len(weights) > 1:
        said = '; '.join(f'{sha256!r} in {name}' for sha256, name in weights.items())
        raise RecordError(f'{row} in {column} has several weights, by encoder.sha256: {said}; give one')
    by_seed: dict[int | None, Record] = {}
    for record in seeds:
        if (first := by_seed.setdefault(record.seed, record)) is not record:
            both = f'{first.path} and {record.path}'
            raise RecordError(f'{row} in {column} has seed {record.seed} twice, in {both}; give one')


# --- intervals -------------------------------------------------------------------------------------------------------


def _pool_seeds(columns: Sequence[Column], measured: dict[tuple[Key, str], Measured]) -> None:
    """Give cells of two or three seeds the interval with the spread of seeds in all cells of their protocol.

    Cells pool with those of the same protocol and metric. Encoders of a few-shot column share the draws of clips, so
    all of them together count as one.
    """
    groups: dict[tuple[str, str], list[tuple[TableCell, Measured]]] = {}
    for column in columns:
        alike = [
            (cell, each)
            for row, cell in column.cells.items()
            if (each := measured[column.key, row]).spread is not None and not cell.left_out
        ]
        for cell, each in alike:
            spread = each.spread
            if column.subset is not None and spread is not None:
                each = each._replace(spread=spread._replace(freedom=spread.freedom / len(alike)))
            groups.setdefault((column.protocol, column.metric), []).append((cell, each))
    for members in groups.values():
        found = pool([each.spread for _, each in members if each.spread is not None])
        for cell, each in members:
            if found is not None and each.pooled is not None and len(cell.records) <= FEW_SEEDS:
                cell.interval = each.pooled(found)


# --- the mean of a suite ---------------------------------------------------------------------------------------------


def _with_summary(columns: list[Column], summary: Summary) -> list[Column]:
    """The columns with those of the summary last, in its order, and then their mean.

    The mean is the plain mean of percent scores; an error that is a ratio enters as 100 (1 - error). Its interval
    treats the errors of the columns as independent: on each side, the root of the sum of the squared half-widths of
    the columns, divided by their number (as `eval.report.statistics.interval` joins seeds and videos). Columns that
    share test videos or pretrained weights are not fully independent, so the interval is a little narrow for those.
    """
    by_key = {column.key: column for column in columns}
    inside = [by_key[key] for key in summary.columns if key in by_key]
    mean = Column(summary.name, '', None, 'mean', 'percent', True, is_summary=True)
    by_size = sorted(inside, key=lambda column: -len(column.cells))
    for row in dict.fromkeys(row for column in by_size for row in column.cells):
        parts = {column.key: cell for column in inside if (cell := column.cells.get(row)) is not None}
        lacking = [key for key in summary.columns if key not in parts or parts[key].left_out]
        if lacking:
            mean.lacks[row] = [_name(key) for key in lacking]
            continue
        cells = list(parts.values())
        found = [_in_percent(by_key[key], cell.interval) for key, cell in parts.items()]
        means, lows, highs = (np.array([part[i] for part in found]) for i in range(3))
        value, num = float(means.mean()), len(found)
        low, high = value - np.hypot.reduce(means - lows) / num, value + np.hypot.reduce(highs - means) / num
        how = f'independent errors of {num}' if np.isfinite([low, high]).all() else 'none: a column has no interval'
        how = 'published, no interval' if all(cell.published for cell in cells) else how
        seeds = min(cell.interval.num_seeds for cell in cells)
        mean.cells[row] = TableCell(
            [record for cell in cells for record in cell.records],
            Interval(value, float(low), float(high), seeds, 0, how),
            parts=cells,
        )
    return [column for column in columns if column not in inside] + [*inside, mean]


def _in_percent(column: Column, of: Interval) -> tuple[float, float, float]:
    """(mean, low, high) as they enter a summary: in percent, higher is better."""
    if column.unit == 'percent' and column.higher_is_better:
        return of.mean, of.low, of.high
    if column.unit == 'ratio' and not column.higher_is_better:
        return 100 * (1 - of.mean), 100 * (1 - of.high), 100 * (1 - of.low)
    direction = 'higher' if column.higher_is_better else 'lower'
    raise RecordError(
        f'{column.name} cannot enter a mean: {column.metric} is in {column.unit}, {direction} is better; a mean takes '
        'percent where higher is better, or an error that is a ratio'
    )
