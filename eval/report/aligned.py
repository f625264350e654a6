"""The encoders of a column side by side, on the test videos that all of them scored. No torch.

Statistics over a column rest on this: ranks.py, agreement.py, spread.py. It reads no predictions again; what a table
keeps of them is enough (`Table.answers`), unless encoders scored different videos.

Shape letters: T seeds of all rows, R rows, N videos, M videos or rounds of a bootstrap.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from eval.metrics import Predictions
from eval.report.measured import Answers, measure
from eval.report.statistics import MIN_VIDEOS
from eval.report.table import BASELINE, Column, Table
from eval.report.variances import Strata, of_mean, share_covariance

P = ParamSpec('P')
T = TypeVar('T')


class Aligned(NamedTuple):
    """Seeds of the rows of a column on their common videos. Scores are in the unit of the column."""

    rows: list[str]
    row_of: np.ndarray  # (T,) index of the row of each seed
    num_videos: int
    scores: np.ndarray  # (T,)
    covariance: np.ndarray  # (T, T) over other draws of the videos
    freedom: float  # degrees of freedom of the covariance
    videos: np.ndarray  # (N,) names
    values: np.ndarray | None  # (T, N) per video; None where the score is no mean over videos
    weight: np.ndarray | None = None  # (N,) of the videos in a mean over classes; None for a plain mean
    rounds: np.ndarray | None = None  # (T, M) scores of resamples, where the score is not a share

    def of(self, row: int) -> np.ndarray:
        """Indices of the seeds of a row."""
        return np.flatnonzero(self.row_of == row)

    @property
    def means(self) -> np.ndarray:
        """(R,) mean score of each row."""
        return np.array([self.scores[self.of(row)].mean() for row in range(len(self.rows))])

    def deviations(self, rows: list[str]) -> np.ndarray:
        """(R, M) of these rows, whose products over M are their covariance; comparable between columns of one M."""
        places = [self.of(self.rows.index(row)) for row in rows]
        if self.rounds is not None:
            around = np.stack([self.rounds[place].mean(axis=0) for place in places])
            around -= around.mean(axis=1, keepdims=True)
            return around * np.sqrt(self.num_videos / (self.num_videos - 1) / around.shape[1])
        assert self.values is not None
        around = np.stack([self.values[place].mean(axis=0) for place in places])
        around -= around.mean(axis=1, keepdims=True)
        return 100 * around * (1 / self.num_videos if self.weight is None else self.weight)


class Scores(NamedTuple):
    """Scores of the encoders of a column, without random weights, and how much of their spread is noise."""

    column: Column
    of: dict[str, float]  # row -> score in the column's unit
    # Variance that videos and seeds add to the differences between rows, as that of one row; None if unknown.
    noise: float | None
    num_videos: int  # that all these rows scored; 0 if unknown
    paired: bool  # whether the noise leaves out what all rows share

    @property
    def oriented(self) -> dict[str, float]:
        """Row -> score, higher is better."""
        sign = 1 if self.column.higher_is_better else -1
        return {row: sign * score for row, score in self.of.items()}


def once(function: Callable[P, T]) -> Callable[P, T]:
    """Keeps what a function of a table gave with it; what is about given columns, for all parts of the table."""

    @functools.wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        table, *more = args
        assert isinstance(table, Table)
        columns = [column for column in more or table.measured if isinstance(column, Column)]
        assert not kwargs
        key = (function.__module__, function.__name__, bool(more), tuple(column.key for column in columns))
        if key not in table.found:
            table.found[key] = function(*args, **kwargs)
        return table.found[key]

    return kept


def is_random(row: str) -> bool:
    """Whether a row is that of random weights, which statistics over encoders leave out."""
    return row == BASELINE or row.startswith((f'{BASELINE} [', f'{BASELINE} ('))


def encoders(column: Column) -> list[str]:
    """Rows of a column that statistics over encoders count: not random weights, and enough videos scored."""
    return [row for row, cell in column.cells.items() if not cell.left_out and not is_random(row)]


def short_name(table: Table, column: Column) -> str:
    """`GYM99 (1000)`: the label of a column; with its group where another column has it, `GYM99 [domain shift]`."""
    if sum(other.label == column.label for other in table.columns) > 1 and column.group:
        return f'{column.label} [{column.group}]'
    return column.label


@once
def align(table: Table, column: Column) -> Aligned | None:
    """The rows of a column whose predictions are stored; None if fewer than two, or fewer than 10 common videos."""
    found = {row: table.answers[column.key, row] for row in _measured(column) if (column.key, row) in table.answers}
    if len(found) < 2:
        return None
    first = next(iter(found.values()))
    if not all(_same(answers.videos, first.videos) for answers in found.values()):
        common = functools.reduce(np.intersect1d, (answers.videos for answers in found.values()))
        if len(common) < MIN_VIDEOS:
            return None
        found = {row: _only(table, column, row, common) for row in found}
        first = next(iter(found.values()))
    if len(first.videos) < MIN_VIDEOS:
        return None
    return _aligned(found)


@once
def scores(table: Table, column: Column) -> Scores:
    """Scores of the encoders of a column: on their common videos if all have predictions, else as in the table."""
    rows, aligned = encoders(column), align(table, column)
    if aligned is not None and set(rows) <= set(aligned.rows):
        means = dict(zip(aligned.rows, aligned.means.tolist()))
        of = {row: means[row] for row in rows}
        return Scores(column, of, _noise(aligned, rows), aligned.num_videos, paired=True)
    cells = [column.cells[row] for row in rows]
    of = {row: cell.interval.mean for row, cell in zip(rows, cells)}
    halves = np.array([(cell.interval.high - cell.interval.low) / 2 for cell in cells])
    known = len(halves) > 0 and bool(np.isfinite(halves).all())
    noise = float(np.mean((halves / 1.96) ** 2)) if known else None
    return Scores(column, of, noise, min((cell.interval.num_videos for cell in cells), default=0), paired=False)


@once
def shared_noise(table: Table, first: Column, second: Column) -> float:
    """Covariance that common test videos add to the differences between rows of two columns, as for one row.

    It is 0 where the columns have other videos, or scores of another kind.
    """
    one, other = align(table, first), align(table, second)
    if one is None or other is None or first.dataset != second.dataset or not _same(one.videos, other.videos):
        return 0.0
    rows = [row for row in encoders(first) if row in one.rows and row in other.rows and row in encoders(second)]
    if len(rows) < 2:
        return 0.0
    sides = [each.deviations(rows) for each in (one, other)]
    if sides[0].shape != sides[1].shape:
        return 0.0
    sign = 1 if first.higher_is_better == second.higher_is_better else -1
    return sign * _beyond_shared(sides[0] @ sides[1].T)


def _noise(aligned: Aligned, rows: list[str]) -> float | None:
    """Mean variance of a row over videos and seeds, less the mean covariance of two rows."""
    if len(rows) < 2:
        return None
    places = [aligned.of(aligned.rows.index(row)) for row in rows]
    table = np.array([[aligned.covariance[np.ix_(i, j)].mean() for j in places] for i in places])
    for i, place in enumerate(places):
        block = aligned.covariance[np.ix_(place, place)]
        table[i, i] = of_mean(aligned.scores[place], block, aligned.freedom).value
    return max(0.0, _beyond_shared(table))


def _beyond_shared(table: np.ndarray) -> float:
    """Mean of the diagonal less the mean of the rest."""
    num = len(table)
    diagonal = float(np.trace(table))
    return diagonal / num - (float(table.sum()) - diagonal) / (num * (num - 1))


def _measured(column: Column) -> list[str]:
    return [row for row, cell in column.cells.items() if not cell.left_out and not cell.published]


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first is second or np.array_equal(first, second)


def _only(table: Table, column: Column, row: str, common: np.ndarray) -> Answers:
    """The answers of a row on these videos alone."""
    keep = []
    records = column.cells[row].records
    for record in records:
        stored = table.predictions(record)
        assert stored is not None  # else the row would have no answers
        inside = np.isin(stored.video, common)
        keep.append(Predictions(*(part[inside] for part in stored)))
    answers = measure(records, keep).answers
    assert answers is not None
    return answers


def _aligned(found: dict[str, Answers]) -> Aligned:
    """Rows whose answers are about the same videos, in the same order."""
    each = list(found.values())
    first, num = each[0], len(each[0].videos)
    row_of = np.repeat(np.arange(len(each)), [len(answers.scores) for answers in each])
    scores = np.concatenate([answers.scores for answers in each])
    values = [answers.values for answers in each if answers.values is not None]
    stacked = np.concatenate(values) if values else None  # all rows have them or none, by the metric
    rounds = [answers.rounds for answers in each if answers.rounds is not None]
    if rounds:
        num_rounds = min(part.shape[1] for part in rounds)
        together = np.concatenate([part[:, :num_rounds] for part in rounds])
        around = together - together.mean(axis=1, keepdims=True)
        covariance = around @ around.T / num_rounds * num / (num - 1)
        return Aligned(list(found), row_of, num, scores, covariance, num - 1, first.videos, stacked, None, together)
    assert stacked is not None
    weight = strata = None
    if first.labels is not None and first.metric.weights is not None:
        weight = first.metric.weights(first.labels)
        strata = Strata(first.labels, weight)
    _, covariance = share_covariance(stacked.astype(float), strata)
    return Aligned(list(found), row_of, num, scores, 1e4 * covariance, np.inf, first.videos, stacked, weight)
