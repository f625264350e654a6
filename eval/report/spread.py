"""Does a column tell encoders apart? Its spread between encoders against its noise. No torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from eval.report.aligned import align, encoders, once, scores, short_name
from eval.report.p_values import holm
from eval.report.pairs import p_of_pairs
from eval.report.statistics import ALPHA
from eval.report.table import Column, Table

# Koo and Li (Journal of Chiropractic Medicine 2016) call reliability below 0.5 poor and from 0.75 good.
POOR, GOOD = 0.5, 0.75


class ColumnSpread(NamedTuple):
    """How well a column tells its encoders apart; random weights are not among them."""

    column: Column
    num_encoders: int
    num_videos: int  # that all of them scored; 0 if unknown
    between: float  # standard deviation of the encoders' scores, in the column's unit
    noise: float | None  # standard error of one encoder's score as it enters a difference; None if unknown
    reliability: float | None  # share of the variance between encoders that is not noise, 0 to 1
    low: float | None  # 95 % interval of the reliability, for other encoders of this kind
    high: float | None
    num_pairs: int  # pairs of encoders that could be tested; 0 without predictions
    num_apart: int  # of them, those that differ with p < 0.05 after Holm's correction over these pairs
    paired: bool  # whether the noise leaves out what all encoders share; it does where predictions are stored
    sentence: str = ''


def column_spreads(table: Table) -> list[ColumnSpread]:
    """The spread of each measured column with two encoders or more.

    Reliability is 1 - noise / between, of variances: the expected variance between encoders is their true one plus
    the noise, as in an intraclass correlation. Noise is what videos and seeds add to a difference between two
    encoders, halved; what all encoders share, such as hard videos, is left out. Its interval takes the encoders as a
    normal sample and the noise as known. Without stored predictions noise comes from the intervals, which do not leave
    out what is shared, and no pair is tested.
    """
    found = [each for column in table.measured if (each := column_spread(table, column)) is not None]
    return [each._replace(sentence=_sentence(each, short_name(table, each.column))) for each in found]


@once
def column_spread(table: Table, column: Column) -> ColumnSpread | None:
    """The spread of one column, without a sentence; None with fewer than two encoders."""
    found = scores(table, column)
    num = len(found.of)
    if num < 2:
        return None
    between = float(np.var(list(found.of.values()), ddof=1))
    reliability = low = high = None
    if found.noise is not None:
        share = found.noise / between if between > 0 else math.inf
        reliability, low, high = (_beyond(share * each) for each in (1.0, *_chi_squared(num - 1)))
    num_pairs, num_apart = _pairs(table, column)
    noise = None if found.noise is None else math.sqrt(found.noise)
    return ColumnSpread(
        column,
        num,
        found.num_videos,
        math.sqrt(between),
        noise,
        reliability,
        low,
        high,
        num_pairs,
        num_apart,
        found.paired,
    )


def _chi_squared(freedom: int) -> tuple[float, float]:
    """Upper and lower 2.5 % points of chi-squared over its degrees of freedom: they give the low and the high end."""
    return tuple(float(special.chdtri(freedom, q)) / freedom for q in (0.025, 0.975))  # type: ignore[return-value]


def _beyond(share_of_noise: float) -> float:
    return min(1.0, max(0.0, 1 - share_of_noise))


def _pairs(table: Table, column: Column) -> tuple[int, int]:
    """Pairs of encoders that could be tested, and those that differ."""
    aligned = align(table, column)
    if aligned is None:
        return 0, 0
    keep = [aligned.rows.index(row) for row in encoders(column) if row in aligned.rows]
    p = p_of_pairs(table, column)[np.ix_(keep, keep)][np.triu_indices(len(keep), 1)]
    return len(p), sum(each < ALPHA for each in holm(p.tolist()))


def _sentence(found: ColumnSpread, name: str) -> str:
    column = found.column
    unit = ' points' if column.unit == 'percent' else ''
    who = f'{found.num_encoders} encoders'
    if found.num_videos:
        who += f', {found.num_videos} test videos' + (' that all scored' if found.paired else '')
    if found.reliability is None or found.noise is None:
        return f'{name}: nothing tells noise from a difference, since scores have no interval ({who}).'
    tells = 'tells encoders apart' if found.reliability >= GOOD else 'hardly tells encoders apart'
    tells = 'does not tell encoders apart' if found.reliability < POOR else tells
    said = (
        f'{name}: {tells}, reliability {found.reliability:.2f} [{found.low:.2f}, {found.high:.2f}]; standard deviation '
        f'between encoders {column.text(found.between)}{unit}, noise {column.text(found.noise)}{unit}'
    )
    if found.num_pairs:
        said += f'; {found.num_apart} of {found.num_pairs} pairs differ (p < {ALPHA:g} by Holm)'
    return f'{said}; {who}' + (
        '.' if found.paired else '. Noise is from the intervals, for lack of predictions: too large.'
    )
