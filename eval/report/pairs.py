"""Whether two encoders of a column differ, for all pairs at once: the p of `eval.report.differences`. No torch."""

from __future__ import annotations

import math

import numpy as np

from eval.report.aligned import Aligned, align, once
from eval.report.p_values import mcnemar, p_of_swaps, p_of_t
from eval.report.statistics import ALPHA
from eval.report.table import Column, Table
from eval.report.variances import of_difference


@once
def p_of_pairs(table: Table, column: Column) -> np.ndarray:
    """Two-sided p (R, R) of no difference, for the rows of `align`, on the videos that all of them scored.

    The tests are those of verdicts: McNemar's exact one for one seed each of right and wrong, else the larger p of
    swapped signs and of Student's t. Swaps are left out where they cannot matter: where Student's p is 0.05 or more,
    and where Hoeffding's bound 2 exp(-z^2 / 2) on their p is below Student's, or below 1e-6. So a p from 0.05 is only
    known to be no smaller, and one below 1e-6 only to be below that; all others are those of verdicts, but for random
    swaps, which end at 1e-4 where the bound may be lower.

    Raises:
        ValueError: if the column has no rows to compare (`align` gives None).
    """
    aligned = align(table, column)
    if aligned is None:
        raise ValueError(f'{column.name} has no two rows with predictions of the same videos')
    num = len(aligned.rows)
    binary = aligned.values is not None and aligned.values.dtype == bool and aligned.weight is None
    exact = _mcnemar(aligned) if binary and aligned.rounds is None else None
    p = np.ones((num, num))
    for i in range(num):
        for j in range(i + 1, num):
            one_each = len(aligned.of(i)) == len(aligned.of(j)) == 1
            if one_each and exact is not None:
                p[i, j] = exact[i, j]
            else:
                p[i, j] = _p(aligned, i, j, _share_draws(column, aligned.rows[i], aligned.rows[j]))
            p[j, i] = p[i, j]
    return p


def _share_draws(column: Column, first: str, second: str) -> bool:
    """Whether the seeds of two rows pair up: those of one number share the few-shot draw."""
    seeds = [[record.seed for record in column.cells[row].records] for row in (first, second)]
    return column.subset is not None and seeds[0] == seeds[1]


def _mcnemar(aligned: Aligned) -> np.ndarray:
    """(R, R) p of McNemar's exact test for the first seeds of the rows."""
    assert aligned.values is not None
    right = aligned.values[[aligned.of(row)[0] for row in range(len(aligned.rows))]].astype(float)
    better = (right @ (1 - right).T).round()  # (R, R) videos that only the first has right
    return mcnemar(better, better.T)


def _p(aligned: Aligned, i: int, j: int, paired_seeds: bool) -> float:
    places = np.concatenate([aligned.of(i), aligned.of(j)])
    num_a = len(aligned.of(i))
    scores = aligned.scores[places]
    value = float(scores[:num_a].mean() - scores[num_a:].mean())
    one_each = len(places) == 2 and aligned.rounds is None
    student = 0.0
    if not one_each:
        covariance = aligned.covariance[np.ix_(places, places)]
        student = p_of_t(value, of_difference(scores, covariance, num_a, paired_seeds, aligned.freedom))
    if aligned.values is None or student >= ALPHA:
        return student
    sides = [aligned.values[aligned.of(row)].mean(axis=0) for row in (i, j)]
    better = (sides[0] - sides[1]) * (1 / aligned.num_videos if aligned.weight is None else aligned.weight)
    squared = float(better @ better)
    if squared > 0:
        bound = 2 * math.exp(-(float(better.sum()) ** 2) / squared / 2)
        if bound <= max(student, 1e-6):
            return max(student, bound if one_each else student)
    return max(student, p_of_swaps(better))
