"""Which encoder beat the baseline, by paired differences over the videos that both scored. No torch.

A verdict needs two things: p < 0.05 after Holm's correction over all comparisons of the table, and a 95 % interval of
the difference that excludes 0 (docs/statistics.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eval.records import RecordError
from eval.report.differences import difference
from eval.report.order import BASELINE
from eval.report.p_values import holm
from eval.report.statistics import ALPHA, MIN_VIDEOS, Difference, is_clear
from sigma.errors import did_you_mean

if TYPE_CHECKING:
    from eval.report.table import Column, Table


class Verdict(NamedTuple):
    """How an encoder compares with the baseline in one column."""

    column: str
    row: str
    difference: Difference | None  # positive: better than the baseline, whatever the metric's direction; None: unknown
    p_corrected: float | None  # Holm's, over all comparisons of the table; None without a difference
    sentence: str


def verdicts(table: Table, baseline: str = BASELINE) -> list[Verdict]:
    """Compares each measured row of each column with the baseline.

    Raises:
        RecordError: if no row is the baseline (with the nearest one).
    """
    if baseline not in table.rows:
        raise RecordError(did_you_mean('baseline', baseline, table.rows))
    places = [
        (column, row)
        for column in table.measured
        for row, cell in column.cells.items()
        if row != baseline and not cell.published
    ]
    found = [difference(table, column, column.cells[row], column.cells.get(baseline)) for column, row in places]
    corrected = iter(holm([each.p for each in found if isinstance(each, Difference)]))
    result = []
    for (column, row), each in zip(places, found):
        start = f'{column.name}: '
        if isinstance(each, Difference):
            p = next(corrected)
            result.append(Verdict(column.name, row, each, p, start + _compared(column, row, baseline, each, p)))
        else:
            result.append(Verdict(column.name, row, None, None, start + _not_compared(column, row, baseline, each)))
    return result


def comparison(table: Table, baseline: str | None) -> list[str]:
    """The sentences of all verdicts and what they rest on, or one that says why nothing is compared.

    Args:
        table: The table.
        baseline: A row; None means random weights if they are there, else no comparison and no sentence.
    """
    name, rows = baseline or BASELINE, table.rows
    if name in rows:
        found = verdicts(table, name)
        num = sum(each.difference is not None for each in found)
        said = [each.sentence for each in found]
        return said + [rule(num)] * (num > 0)
    if recipes := [row for row in rows if row.startswith(f'{name} [')]:
        return [f'nothing is compared: {name} has one row per recipe; --baseline takes one of: {", ".join(recipes)}']
    return [f'nothing is compared: no row is called {name}; the rows are: {", ".join(rows)}'] if baseline else []


def rule(num_comparisons: int) -> str:
    """What a verdict needs, for a reader of a report."""
    those = 'the only comparison' if num_comparisons == 1 else f'the {num_comparisons} comparisons'
    return (
        f"a verdict needs p < {ALPHA:g} by Holm's correction over {those} here, and a 95 % interval that excludes 0; p "
        'in brackets is not corrected'
    )


def p_text(p: float, p_corrected: float) -> str:
    """`p 0.012 (0.003)`: corrected, then not."""
    corrected, raw = ('< 0.001' if value < 0.0005 else f'{value:.3f}' for value in (p_corrected, p))
    return f'p {corrected} ({raw})'


def _not_compared(column: Column, row: str, baseline: str, num_common: int | None) -> str:
    names = (name for name in (row, baseline) if name in column.cells and column.cells[name].left_out)
    if left_out := ' and '.join(names):
        return f'{row} is not compared with {baseline}, because {left_out} scored too few videos'
    if num_common:
        videos = '1 video was' if num_common == 1 else f'{num_common} videos were'
        return f'{row} is not compared with {baseline}: only {videos} scored by both, and a verdict needs {MIN_VIDEOS}'
    return f'{row} is not compared with {baseline}, for lack of predictions for the same videos'


def _compared(column: Column, row: str, baseline: str, difference: Difference, p_corrected: float) -> str:
    value, low, high = difference.difference, difference.low, difference.high
    points = 'points' if column.unit == 'percent' else f'in {column.metric_label}'
    said = p_text(difference.p, p_corrected)
    if 'one seed each' in difference.how:
        said += ' (one seed each: this is about these weights, not about other seeds)'
    elif 'one seed' in difference.how:
        said += ' (one seed only on one side, so its spread over seeds is unknown)'
    if not is_clear(difference, p_corrected):
        ends = f'[{column.text(low)}, {column.text(high)}]'
        weights = 'random weights' if baseline == BASELINE else baseline
        return f'{row} shows no clear difference from {weights}: {column.text(value, "+")} {points} {ends}, {said}'
    if low > 0:
        ends = f'[{column.text(low)}, {column.text(high)}]'
        return f'{row} beat {baseline} by {column.text(value)} {points} {ends}, {said}'
    ends = f'[{column.text(-high)}, {column.text(-low)}]'
    return f'{row} is worse than {baseline} by {column.text(-value)} {points} {ends}, {said}'
