"""Average ranks of encoders over columns: Friedman's test and Nemenyi's critical difference. No torch.

Source: Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006, section 3.2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from eval.report.aligned import encoders, once, scores, short_name
from eval.report.statistics import ALPHA
from eval.report.table import Column, Table

MIN_COLUMNS = 5  # with fewer, no difference of ranks is beyond chance, or next to none
MIN_ENCODERS = 3


class Friedman(NamedTuple):
    """Test of equal average ranks."""

    chi_squared: float  # Friedman's, corrected for ties
    p_chi_squared: float
    f: float  # Iman and Davenport's, less conservative; infinite where all columns give one order
    p: float  # of f


class CriticalDifference(NamedTuple):
    """Average ranks of encoders over columns, and how far apart two must be."""

    rows: list[str]  # best first
    ranks: list[float]  # 1 is the best
    columns: list[Column]  # that count
    rows_left_out: list[str]  # they lack one of these columns
    columns_left_out: list[Column]
    friedman: Friedman | None  # None below MIN_COLUMNS columns or MIN_ENCODERS encoders
    difference: float | None  # Nemenyi's critical difference of average ranks at p < 0.05
    groups: list[tuple[int, int]]  # (first, last) places in rows whose ranks lie within the critical difference
    sentences: list[str]

    @property
    def drawable(self) -> bool:
        """Whether there is a diagram to draw."""
        return self.difference is not None


def friedman(scores: np.ndarray) -> Friedman:
    """Friedman's test of (K, C) scores of K encoders in C columns; higher is better.

    Raises:
        ValueError: with fewer than 3 encoders or 2 columns, or a score that is not finite.
    """
    values = np.asarray(scores, dtype=float)
    if values.ndim != 2 or values.shape[0] < MIN_ENCODERS or values.shape[1] < 2:
        raise ValueError(f"scores have shape {values.shape}; Friedman's test needs 3 encoders and 2 columns or more")
    ranks = average_ranks(values)
    num, columns = values.shape
    expected = (num + 1) / 2
    spread = float(((ranks.mean(axis=1) - expected) ** 2).sum()) * columns**2
    within = float(((ranks - expected) ** 2).sum())  # less than without ties
    if within == 0:
        return Friedman(0.0, 1.0, 0.0, 1.0)
    chi_squared = (num - 1) * spread / within
    rest = columns * (num - 1) - chi_squared
    f = (columns - 1) * chi_squared / rest if rest > 1e-9 else math.inf
    freedom = num - 1, (num - 1) * (columns - 1)
    return Friedman(
        chi_squared,
        float(special.chdtrc(num - 1, chi_squared)),
        f,
        float(special.fdtrc(*freedom, f)) if math.isfinite(f) else 0.0,
    )


def average_ranks(scores: np.ndarray) -> np.ndarray:
    """(K, C) ranks within each column of (K, C) scores: 1 for the highest; equal scores share the mean of their ranks.

    Raises:
        ValueError: if a score is not finite.
    """
    values = np.asarray(scores, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError('a score is not finite; ranks need a score of every encoder in every column')
    higher = (values[None] > values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    return higher + (equal + 1) / 2


def nemenyi(num_encoders: int, num_columns: int, alpha: float = ALPHA) -> float:
    """Critical difference of average ranks: q sqrt(K (K + 1) / (6 C)).

    q is the quantile of the studentized range of K samples, divided by sqrt(2).

    Raises:
        ValueError: with fewer than 2 encoders or 1 column, or if alpha is not between 0 and 1.
    """
    if num_encoders < 2 or num_columns < 1 or not 0 < alpha < 1:
        raise ValueError(
            f'{num_encoders} encoders, {num_columns} columns and alpha {alpha}; a critical difference needs 2 '
            'encoders, 1 column, and alpha between 0 and 1'
        )
    from scipy.stats import studentized_range  # here: its import takes a second

    q = float(studentized_range.isf(alpha, num_encoders, np.inf)) / math.sqrt(2)
    return q * math.sqrt(num_encoders * (num_encoders + 1) / (6 * num_columns))


@once
def critical_difference(table: Table) -> CriticalDifference:
    """Average ranks of the encoders that have all measured columns, with Friedman's and Nemenyi's tests.

    Random weights are left out: they are last nearly everywhere, and would make any test significant. If fewer than
    two encoders have all columns, the block of encoders and columns with the most cells counts, and the sentences say
    what is left out. Published numbers rank like others. A column whose error is lower for the better ranks by that.
    """
    rows, columns = _block(table.measured)
    left_rows = [row for row in _all_encoders(table.measured) if row not in rows]
    left_columns = [column for column in table.measured if column not in columns]
    if not rows:
        sentence = 'Encoders are not ranked over columns: no two of them share a column.'
        return CriticalDifference([], [], [], left_rows, left_columns, None, None, [], [sentence])
    found = [scores(table, column).oriented for column in columns]
    values = np.array([[of[row] for of in found] for row in rows])
    ranks = average_ranks(values).mean(axis=1)
    order = np.argsort(ranks, kind='stable')
    rows, sorted_ranks = [rows[i] for i in order], [float(ranks[i]) for i in order]
    result = CriticalDifference(rows, sorted_ranks, columns, left_rows, left_columns, None, None, [], [])
    if len(columns) >= MIN_COLUMNS and len(rows) >= MIN_ENCODERS:
        difference = nemenyi(len(rows), len(columns))
        groups = _groups(sorted_ranks, difference)
        result = result._replace(friedman=friedman(values), difference=difference, groups=groups)
    return result._replace(sentences=_sentences(table, result))


def _all_encoders(columns: Sequence[Column]) -> list[str]:
    return list(dict.fromkeys(row for column in columns for row in encoders(column)))


def _block(columns: Sequence[Column]) -> tuple[list[str], list[Column]]:
    """Encoders and columns without a gap: all columns if two encoders have them, else the largest such block."""
    has = {row: frozenset(c.key for c in columns if row in encoders(c)) for row in _all_encoders(columns)}
    blocks = []
    for keys in {
        frozenset(c.key for c in columns),
        *has.values(),
        *(a & b for a in has.values() for b in has.values()),
    }:
        rows = [row for row, own in has.items() if keys <= own]
        if len(rows) >= 2 and keys:
            blocks.append(
                (len(keys) == len(columns), len(rows) * len(keys), len(keys), sorted(map(str, keys)), rows, keys)
            )
    if not blocks:
        return [], []
    *_, rows, best = max(blocks, key=lambda block: block[:4])
    return rows, [column for column in columns if column.key in best]


def _groups(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Longest runs of sorted ranks that lie within the difference; none of a single rank."""
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _sentences(table: Table, found: CriticalDifference) -> list[str]:
    num, rows = len(found.columns), found.rows
    those = f'{num} columns' if num > 1 else '1 column'
    best = ', '.join(f'{row} {rank:.2f}' for row, rank in list(zip(rows, found.ranks))[:3])
    said = [f'Average rank of {len(rows)} encoders over {those} (1 is the best): {best}.']
    if found.friedman is None or found.difference is None:
        need = f'{MIN_COLUMNS} columns' if num < MIN_COLUMNS else f'{MIN_ENCODERS} encoders'
        said.append(
            f'No critical difference: it needs {need} or more that have no gap, and random weights do not count.'
        )
    else:
        test = found.friedman
        p = '< 0.001' if test.p < 0.0005 else f'= {test.p:.3f}'
        differ = 'Ranks differ more than by chance' if test.p < ALPHA else 'Ranks differ no more than by chance'
        said.append(
            f"{differ} (Friedman's chi-squared {test.chi_squared:.2f}; Iman and Davenport's F {test.f:.2f}, p {p})."
        )
        apart = [row for row, rank in zip(rows, found.ranks) if rank - found.ranks[0] >= found.difference]
        below = (
            f'{len(apart)} of the others are that far below {rows[0]}' if apart else f'none is that far below {rows[0]}'
        )
        said.append(
            f'Two encoders differ (p < {ALPHA:g}, Nemenyi) if their average ranks are {found.difference:.2f} apart; '
            f'{below}.'
        )
        shared = [
            dataset for dataset, count in Counter(column.dataset for column in found.columns).items() if count > 1
        ]
        if shared:
            said.append(
                f'The tests take columns as independent. Those of one data set ({", ".join(shared[:3])}) are not, so '
                'p is too small.'
            )
    left_columns = [short_name(table, column) for column in found.columns_left_out]
    for kind, left in (('Columns', left_columns), ('Encoders', found.rows_left_out)):
        if left:
            more = f' and {len(left) - 5} more' if len(left) > 5 else ''
            said.append(f'{kind} left out because of missing scores: {", ".join(left[:5])}{more}.')
    return said
