"""What a table says, in sentences: who wins where, by how much, how sure. No torch.

`conclusions` is the summary that a reader gets in ten seconds, `sections` everything that the statistics say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from eval.report.agreement import sentences as agreement_sentences
from eval.report.aligned import align, encoders, is_random, once, short_name
from eval.report.differences import clear_best, difference
from eval.report.p_values import holm
from eval.report.pairs import p_of_pairs
from eval.report.ranks import critical_difference
from eval.report.spread import GOOD, column_spreads
from eval.report.statistics import ALPHA, Difference
from eval.report.table import Column, Table

MOST = 4  # names in a list


@once
def conclusions(table: Table) -> list[str]:
    """Who wins where, by how much, how sure: about eight sentences, the most important first.

    A win is clear as for a verdict: p < 0.05 by Holm's correction over the comparisons with all others in its column,
    and an interval that excludes 0 (`clear_best`). Random weights cannot win; whether encoders beat them is said apart.
    """
    columns = [column for column in table.measured if len(encoders(column)) >= 2]
    said = [] if columns else ['No two encoders share a column, so nothing can be compared.']
    if columns:
        said += [_most_wins(table, columns), *_by_how_much(table, columns), *_open(table, columns)]
    said += [*_means(table), *_against_random(table), *_ranks(table), *_telling(table)]
    return said + [_how_sure(table), *_missing(table)]


def sections(table: Table) -> dict[str, list[str]]:
    """Title -> sentences of all statistics, in the order to read them."""
    found = {
        'In short': conclusions(table),
        'Average ranks': critical_difference(table).sentences,
        'What each column tells': [each.sentence for each in column_spreads(table)],
        'Do columns agree?': agreement_sentences(table),
    }
    return {title: sentences for title, sentences in found.items() if sentences}


def listed(names: Iterable[str], most: int = MOST) -> str:
    """`a, b, c, d and 3 more`."""
    names = list(names)
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')


def _columns(num: int) -> str:
    return '1 column' if num == 1 else f'{num} columns'


# --- who wins --------------------------------------------------------------------------------------------------------


def _winner(column: Column) -> str | None:
    """The encoder with the best score of the column; None where the best tie."""
    best = [row for row in encoders(column) if column.cells[row].interval.mean == _best(column)]
    return best[0] if len(best) == 1 else None


def _best(column: Column) -> float:
    means = [column.cells[row].interval.mean for row in encoders(column)]
    return max(means) if column.higher_is_better else min(means)


def _most_wins(table: Table, columns: Sequence[Column]) -> str:
    wins = Counter(row for column in columns if (row := _winner(column)) is not None)
    clear = Counter(row for column in columns if (row := clear_best(table, column)) is not None and not is_random(row))
    if not wins:
        return f'The best encoders tie in {_columns(len(columns))}.'
    if len(columns) == 1:
        (row,) = wins
        return f'Best score: {row} in the only column ({"clearly" if clear[row] else "not clearly"}).'
    each = []
    for i, (row, count) in enumerate(wins.most_common()):
        sure = f' (clearly in {clear[row]})' if clear[row] else ''
        each.append(f'{row} in {count}' + (f' of {len(columns)} columns' if i == 0 else '') + sure)
    return f'Best score: {listed(each)}' + ('.' if clear else '; none of them clearly.')


def _by_how_much(table: Table, columns: Sequence[Column]) -> list[str]:
    """Lead of the clear winners over the next encoder."""
    said = []
    for column in columns:
        row = clear_best(table, column)
        found = _lead(table, column, row) if row is not None and not is_random(row) else None
        if found is not None and row is not None:
            second, lead = found
            ends = f'[{column.text(lead.low)}, {column.text(lead.high)}]'
            by = f'{column.text(lead.difference)}{_points(column)} {ends}'
            said.append(f'{row} in {short_name(table, column)} by {by} over {second}')
    return [f'Clearly ahead: {"; ".join(_first(said, 3))}.'] if said else []


def _first(items: Sequence[str], most: int) -> list[str]:
    return [*items[:most], *([f'and {len(items) - most} more'] if len(items) > most else [])]


def _lead(table: Table, column: Column, row: str) -> tuple[str, Difference] | None:
    """The next encoder below the winner, and by how much the winner is ahead."""
    sign = -1 if column.higher_is_better else 1
    others = [other for other in encoders(column) if other != row and not column.cells[other].published]
    if not others:
        return None
    second = min(others, key=lambda other: sign * column.cells[other].interval.mean)
    found = difference(table, column, column.cells[row], column.cells[second])
    return (second, found) if isinstance(found, Difference) else None


def _open(table: Table, columns: Sequence[Column]) -> list[str]:
    """Columns without a clear winner, the closest first."""
    unclear = [c for c in columns if clear_best(table, c) is None or is_random(str(clear_best(table, c)))]
    if not unclear or len(columns) == 0:
        return []
    each = []
    for column in unclear:
        sign = -1 if column.higher_is_better else 1
        first, second = sorted(encoders(column), key=lambda row: sign * column.cells[row].interval.mean)[:2]
        values = [column.text(column.cells[row].interval.mean) for row in (first, second)]
        each.append(f'{short_name(table, column)} ({first} {values[0]}, {second} {values[1]})')
    return [f'No clear winner in {len(unclear)} of {_columns(len(columns))}: {"; ".join(_first(each, 3))}.']


def _points(column: Column) -> str:
    return ' points' if column.unit == 'percent' else f' in {column.metric_label}'


# --- means, random weights, ranks ------------------------------------------------------------------------------------


def _means(table: Table) -> list[str]:
    """The mean of a suite, where the table has one: the two best, and how far they are apart."""
    said = []
    for column in table.columns:
        if not column.is_summary or not column.cells:
            continue
        ordered = sorted(encoders(column), key=lambda row: -column.cells[row].interval.mean)[:2]
        each = []
        for row in ordered:
            value = column.cells[row].interval
            ends = f' [{column.text(value.low)}, {column.text(value.high)}]' if np.isfinite(value.low) else ''
            each.append(f'{row} {column.text(value.mean)}{ends}')
        if each:
            lead = _lead_of_mean(table, column, *ordered) if len(ordered) == 2 else ''
            said.append(f'{short_name(table, column)}: {", then ".join(each)}{lead}.')
    return said


def _lead_of_mean(table: Table, mean: Column, first: str, second: str) -> str:
    """How far two rows of a mean are apart: the mean of the paired differences of its columns, taken as independent."""
    parts = mean.cells[first].parts
    inside = [column for column in table.measured if any(column.cells.get(first) is part for part in parts)]
    found = [difference(table, column, column.cells[first], column.cells[second]) for column in inside]
    known = [
        np.array(each[:3]) * (100 if column.unit == 'ratio' else 1)
        for column, each in zip(inside, found)
        if isinstance(each, Difference)
    ]
    if len(known) < len(parts):
        return ''
    values, lows, highs = np.array(known).T
    value, num = float(values.mean()), len(known)
    low, high = value - np.hypot.reduce(values - lows) / num, value + np.hypot.reduce(highs - values) / num
    holds = '' if low > 0 else ', which holds 0'
    return f'; ahead by {mean.text(value)} points [{mean.text(low)}, {mean.text(high)}]{holds}'


def _against_random(table: Table) -> list[str]:
    """Which encoders are not clearly above random weights; p by Holm over all these comparisons."""
    places, p, ahead = [], [], []
    for column in table.measured:
        aligned = align(table, column)
        base = None if aligned is None else next((row for row in aligned.rows if is_random(row)), None)
        if aligned is None or base is None:
            continue
        sign, at = (1 if column.higher_is_better else -1), aligned.rows.index(base)
        means, values = aligned.means, p_of_pairs(table, column)
        for row in encoders(column):
            if row in aligned.rows:
                i = aligned.rows.index(row)
                places.append((row, column))
                p.append(float(values[i, at]))
                ahead.append(sign * (means[i] - means[at]) > 0)
    if not places:
        return []
    clear = [each < ALPHA and better for each, better in zip(holm(p), ahead)]
    failed = [f'{row} in {short_name(table, column)}' for (row, column), fine in zip(places, clear) if not fine]
    if not failed:
        return (
            [f'Random weights are clearly beaten in all {len(places)} comparisons.']
            if len(places) > 1
            else (['Random weights are clearly beaten.'])
        )
    return [f'Not clearly above random weights in {len(failed)} of {len(places)} comparisons: {listed(failed, 3)}.']


def _ranks(table: Table) -> list[str]:
    found = critical_difference(table)
    return found.sentences[:1] if found.friedman is not None else []


def _telling(table: Table) -> list[str]:
    """Columns that hardly tell encoders apart."""
    found = column_spreads(table)
    weak = [
        f'{short_name(table, each.column)} ({each.reliability:.2f})'
        for each in sorted(found, key=lambda each: each.reliability or 0)
        if each.reliability is not None and each.reliability < GOOD
    ]
    if not weak:
        return []
    num = sum(each.reliability is not None for each in found)
    return [
        f'Hardly tells encoders apart (reliability below {GOOD:g}), {len(weak)} of {num} columns: {listed(weak, 3)}.'
    ]


# --- how sure --------------------------------------------------------------------------------------------------------


def _how_sure(table: Table) -> str:
    cells = [cell for cell in table.cells if not cell.published]
    if not cells:
        return 'All numbers are published: they have no intervals, and no two are tested against each other.'
    seeds = sorted({len(cell.records) for cell in cells})
    videos = sorted({cell.interval.num_videos for cell in cells} - {0})
    on = f'{_range(videos)} test videos' if videos else 'an unknown number of test videos'
    start = f'{_range(seeds)} {"seed" if seeds == [1] else "seeds"} in each cell, {on}'
    if seeds[0] == 1:
        return f'{start}: with one seed, what is clear is about these weights, not about other seeds (train three).'
    return f'{start}; clear means p < {ALPHA:g} by Holm and a 95 % interval of the difference without 0.'


def _range(values: Sequence[int]) -> str:
    return f'{values[0]}' if values[0] == values[-1] else f'{values[0]} to {values[-1]}'


def _missing(table: Table) -> list[str]:
    """Cells that are not there, and cells that scored too few videos."""
    rows = dict.fromkeys(row for column in table.measured for row, cell in column.cells.items() if not cell.published)
    lacking = [(row, column) for column in table.measured for row in rows if row not in column.cells]
    said = []
    if lacking:
        num = len(rows) * len(table.measured)
        by_row = Counter(row for row, _ in lacking)
        each = [f'{row} {count}' for row, count in by_row.most_common()]
        said.append(f'Missing: {len(lacking)} of {num} cells ({listed(each)}).')
    few = [f'{row} in {short_name(table, c)}' for c in table.measured for row, cell in c.cells.items() if cell.left_out]
    if few:
        said.append(f'Not counted, since too few videos were scored: {listed(few, 3)}.')
    return said
