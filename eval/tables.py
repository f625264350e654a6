"""Tables of records: columns that may stand together, intervals, and who beat whom. No torch.

records -> columns() -> results_table(), format_table(), table_csv(), eval.figures
        -> verdict()
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from eval.metrics import METRICS, Predictions, load_predictions
from eval.records import Record, RecordError, check_comparable, coverage, did_you_mean
from eval.stats import (
    Difference,
    Interval,
    interval,
    interval_from_scores,
    interval_over_seeds,
    paired_difference,
)

BASELINE = 'random'
DEFAULT_RECIPE = 'default'


@dataclass
class Cell:
    """One encoder in one column: a record a seed."""

    records: list[Record]
    interval: Interval  # low and high are NaN for a published number

    @property
    def scores(self) -> list[float]:
        return [record.score['value'] for record in self.records]

    @property
    def published(self) -> bool:
        return self.records[0].published

    @property
    def coverage(self) -> float:
        """Least coverage of its records, percent; 100 where a published number does not say."""
        return min(100.0 if (share := coverage(record)) is None else share for record in self.records)


@dataclass
class Column:
    """Records of one protocol, dataset and kind of subset, which were found to compare."""

    protocol: str
    dataset: str
    subset: str | None  # None is all of the training list
    metric: str
    unit: str
    higher_is_better: bool
    num_classes: int | None = None
    cells: dict[str, Cell] = field(default_factory=dict)  # row -> cell

    @property
    def name(self) -> str:
        return ' / '.join(part for part in (self.protocol, self.dataset, self.subset) if part)

    @property
    def chance(self) -> float | None:
        """Score of a uniform guess; None where the metric has none."""
        if self.metric not in METRICS or not self.num_classes:
            return None
        return METRICS[self.metric].chance(self.num_classes)

    @property
    def metric_label(self) -> str:
        return METRICS[self.metric].label if self.metric in METRICS else self.metric.replace('_', ' ')


def select(
    records: Iterable[Record],
    encoders: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
) -> list[Record]:
    """Records of the named encoders, protocols and datasets, in the order asked; None asks for all.

    By itself the order is: random weights first, then by name; few shots before many before all.

    Raises:
        RecordError: on a name that no record has (with the nearest one), or if nothing is left.
    """
    records = _without_copies(records)
    asked = {'encoder': encoders, 'protocol': protocols, 'dataset': datasets}
    for kind, names in asked.items():
        known = {getattr(record, kind)['name'] for record in records}
        for name in names or ():
            if name not in known:
                raise RecordError(did_you_mean(kind, name, known))
    kept = records
    for kind, names in asked.items():
        kept = [record for record in kept if not names or getattr(record, kind)['name'] in names]
    if not kept:
        raise RecordError(f'none of {len(records)} records has these encoders, protocols and datasets at once')

    def place(record: Record, kind: str) -> tuple:
        name, names = getattr(record, kind)['name'], asked[kind]
        return (list(names).index(name),) if names else (name != BASELINE, name)

    return sorted(
        kept,
        key=lambda record: (
            *(place(record, kind) for kind in ('protocol', 'dataset')),
            _subset_order(record.get('subset.name')),
            place(record, 'encoder'),
            -1 if record.seed is None else record.seed,
        ),
    )


def _subset_order(name: str | None) -> tuple:
    """5_a_class before 10_a_class before all."""
    parts = re.split(r'(\d+)', name or '')
    return (name is None, [int(part) if part.isdigit() else -1 for part in parts], name or '')


def columns(records: Iterable[Record], allow_partial: bool = False) -> list[Column]:
    """Columns in the order in which their first record comes (`select` orders them), each checked.

    Raises:
        RecordError: if records of a column do not compare (`check_comparable`), a row holds two sets of
            weights or one seed twice, or stored predictions give another score.
    """
    groups: dict[tuple, list[Record]] = {}
    for record in _without_copies(records):
        key = (record.protocol['name'], record.dataset['name'], record.get('subset.name'))
        groups.setdefault(key, []).append(record)
    several = _several_recipes(groups)
    result = []
    for (protocol, dataset, subset), members in groups.items():
        check_comparable(members, allow_partial)
        score = members[0].score
        column = Column(protocol, dataset, subset, score['metric'], score['unit'], score['higher_is_better'])
        column.num_classes = next((n for m in members if (n := m.dataset['num_classes'])), None)
        for row, seeds in _rows(members, several).items():
            _check_row(row, seeds, column)
            column.cells[row] = Cell(seeds, _interval(seeds))
        result.append(column)
    return result


def rows(table: Sequence[Column]) -> list[str]:
    """Names of all rows, in the order of the fullest column, then as they come."""
    by_size = sorted(table, key=lambda column: -len(column.cells))
    return list(dict.fromkeys(row for column in by_size for row in column.cells))


def _without_copies(records: Iterable[Record]) -> list[Record]:
    """Drops what is the same cell with the same score, as when two work directories share some."""
    seen: dict[str, Record] = {}
    for record in records:
        first = seen.setdefault(record.cell['id'], record)
        if (was := first.score['value']) != (now := record.score['value']):
            both = f'{was:.2f} in {first.path} and {now:.2f} in {record.path}'
            raise RecordError(f'the same cell {record.name} scored {both}; give one of the two')
    return list(seen.values())


def _several_recipes(groups: dict[tuple, list[Record]]) -> set[tuple[str, str]]:
    """(encoder, protocol) for which a column holds more than one recipe, so that its rows name them."""
    found = set()
    for (protocol, *_), members in groups.items():
        recipes: dict[str, set] = {}
        for record in members:
            recipes.setdefault(record.encoder['name'], set()).add(record.get('recipe.name'))
        found |= {(encoder, protocol) for encoder, names in recipes.items() if len(names) > 1}
    return found


def _rows(members: list[Record], several: set[tuple[str, str]]) -> dict[str, list[Record]]:
    result: dict[str, list[Record]] = {}
    for record in members:
        row, recipe = record.encoder['name'], record.get('recipe.name')
        if (row, record.protocol['name']) in several and recipe not in (None, DEFAULT_RECIPE):
            row += f' [{recipe}]'
        if record.published:
            row += ' (published)'
        result.setdefault(row, []).append(record)
    return {row: sorted(seeds, key=lambda record: record.seed or 0) for row, seeds in result.items()}


def _check_row(row: str, seeds: list[Record], column: Column) -> None:
    """Refuses seeds that are not the same thing measured again."""
    weights = {record.get('encoder.sha256'): record.name for record in seeds if record.get('encoder.checkpoint')}
    if len(weights) > 1:
        said = '; '.join(f'{sha256!r} in {name}' for sha256, name in weights.items())
        raise RecordError(f'{row} in {column.name} stands for several weights, by encoder.sha256: {said}')
    by_seed: dict[int | None, Record] = {}
    for record in seeds:
        if (first := by_seed.setdefault(record.seed, record)) is not record:
            both = f'{first.path} and {record.path}'
            raise RecordError(f'{row} in {column.name} has seed {record.seed} twice, in {both}; give one')


def _interval(seeds: list[Record]) -> Interval:
    """Interval of a row: from predictions where they are stored, else from the scores alone."""
    scores = [record.score['value'] for record in seeds]
    if seeds[0].published:
        return Interval(float(np.mean(scores)), math.nan, math.nan, len(seeds), 0, 'published, no interval')
    metric = seeds[0].score['metric']
    if metric not in METRICS:
        return interval_over_seeds(scores)
    predictions = [load_predictions(record) for record in seeds]
    if all(p is not None and np.array_equal(p.video, predictions[0].video) for p in predictions):
        return interval(_shares(predictions, metric))
    return interval_from_scores(scores, min(record.dataset['num_scored'] for record in seeds))


def _shares(predictions: Sequence[Predictions], metric: str) -> list[np.ndarray]:
    return [METRICS[metric].per_video(p.scores, p.label) for p in predictions]


def results_table(records: Iterable[Record], allow_partial: bool = False) -> pd.DataFrame:
    """A row an encoder; for each column mean, low, high (percent, 95 %), n (seeds) and coverage (percent).

    What is missing is NaN. Raises as `columns`.
    """
    table = columns(records, allow_partial)
    frame = {
        (column.name, key): {row: _figures(cell)[key] for row, cell in column.cells.items()}
        for column in table
        for key in ('mean', 'low', 'high', 'n', 'coverage')
    }
    return pd.DataFrame(frame, index=rows(table), dtype=float)


def _figures(cell: Cell) -> dict[str, float]:
    mean, low, high, num_seeds, *_ = cell.interval
    return {'mean': mean, 'low': low, 'high': high, 'n': num_seeds, 'coverage': cell.coverage}


def table_csv(records: Iterable[Record], allow_partial: bool = False) -> str:
    """The same in long form, a line for each row and column: for a spreadsheet or another program."""
    lines = [
        {
            'encoder': row,
            'protocol': column.protocol,
            'dataset': column.dataset,
            'subset': column.subset or 'all',
            'metric': column.metric,
            'unit': column.unit,
            **_figures(cell),
            'num_videos': cell.interval.num_videos,
            'chance': column.chance,
            'interval': cell.interval.how,
        }
        for column in columns(records, allow_partial)
        for row, cell in column.cells.items()
    ]
    return pd.DataFrame(lines).to_csv(index=False, float_format='%.4f', lineterminator='\n')


def format_table(records: Iterable[Record], style: str = 'text', allow_partial: bool = False) -> str:
    """The table for people: `83.2 [80.1, 86.0] n=3`, a row of chance, and what to know below it.

    Args:
        records: In the order wanted (`select`).
        style: `text` for a terminal, or `markdown` with the best of each column in bold.
        allow_partial: As in `check_comparable`.
    """
    if style not in ('text', 'markdown'):
        raise ValueError(did_you_mean('table style', style, ('text', 'markdown')))
    table = columns(records, allow_partial)
    grid = [['encoder', *(column.name for column in table)]]
    if any(column.metric_label != table[0].metric_label for column in table):
        grid.append(['metric', *(column.metric_label for column in table)])
    for row in rows(table):
        grid.append([row, *(_cell_text(column, row, style) for column in table)])
    grid.append(['chance', *(f'{c.chance:.1f}' if c.chance is not None else '-' for c in table)])
    notes = _footnotes(table)
    if style == 'markdown':
        notes = [f'{note}\n'.replace('*', '\\*') for note in notes]
    return '\n'.join([*_lay_out(grid, style), '', *notes]).rstrip() + '\n'


def _cell_text(column: Column, row: str, style: str) -> str:
    cell = column.cells.get(row)
    if cell is None:
        return 'missing'
    means = [other.interval.mean for other in column.cells.values()]
    best = max(means) if column.higher_is_better else min(means)
    text = f'{cell.interval.mean:.1f}'
    if style == 'markdown' and cell.interval.mean == best and len(means) > 1:
        text = f'**{text}**'
    if cell.coverage < 100:
        text += '*' if style == 'text' else '\\*'
    if not math.isnan(cell.interval.low):
        text += f' [{cell.interval.low:.1f}, {cell.interval.high:.1f}]'
    return text if cell.published else f'{text} n={cell.interval.num_seeds}'


def _lay_out(grid: list[list[str]], style: str) -> list[str]:
    widths = [max(map(len, texts)) for texts in zip(*grid)]
    gap = ' | ' if style == 'markdown' else '  '
    padded = [gap.join(text.ljust(width) for text, width in zip(line, widths)) for line in grid]
    if style == 'markdown':
        padded = [f'| {line} |' for line in padded]
        return [padded[0], '|' + '|'.join('-' * (width + 2) for width in widths) + '|', *padded[1:]]
    return [padded[0].rstrip(), '-' * len(padded[0]), *(line.rstrip() for line in padded[1:])]


def _footnotes(table: Sequence[Column]) -> list[str]:
    label = table[0].metric_label if len({column.metric_label for column in table}) == 1 else 'scores'
    notes = [f'{label} in percent, mean over n seeds [95 % interval]; chance: a uniform guess']
    if any(len(cell.records) == 1 and not cell.published for c in table for cell in c.cells.values()):
        notes.append('n=1: the interval speaks of the test videos alone, not of other seeds')
    if partial := partial_notes(table):
        notes.append('* videos were left unscored: ' + '; '.join(partial))
    return notes


def partial_notes(table: Sequence[Column]) -> list[str]:
    """For each cell that did not score all videos, how many: 'a in finetune / toy 1 of 200 (seed 0)'."""
    notes = []
    for column in table:
        for row, cell in column.cells.items():
            counts = [(len(r.get('dataset.unscored') or ()), r) for r in cell.records]
            each = [f'{n} of {r.dataset["num_listed"]} (seed {r.seed})' for n, r in counts if n]
            if each:
                notes.append(f'{row} in {column.name} {", ".join(each)}')
    return notes


class Verdict(NamedTuple):
    """How an encoder stands to the baseline in one column; `difference` is None where it cannot be told."""

    column: str
    row: str
    difference: Difference | None  # positive is better than the baseline, whatever the metric's direction
    sentence: str


def verdict(records: Iterable[Record], baseline: str = BASELINE, allow_partial: bool = False) -> list[Verdict]:
    """Whether each encoder beat the baseline, by the paired difference on the videos that both scored.

    Raises:
        RecordError: as `columns`, or if no record is of the baseline.
    """
    table = columns(records, allow_partial)
    if baseline not in rows(table):
        raise RecordError(did_you_mean('baseline', baseline, rows(table)))
    found = []
    for column in table:
        for row in [row for row in column.cells if row != baseline]:
            difference = _difference(column, column.cells[row], column.cells.get(baseline))
            found.append(Verdict(column.name, row, difference, _sentence(column, row, baseline, difference)))
    return found


def _difference(column: Column, cell: Cell, base: Cell | None) -> Difference | None:
    if base is None or column.metric not in METRICS:
        return None
    sides = [[load_predictions(record) for record in side.records] for side in (cell, base)]
    if any(p is None for side in sides for p in side):
        return None
    common = sorted(set.intersection(*(set(p.video.tolist()) for side in sides for p in side)))
    if not common:
        return None
    keep = [[Predictions(*(part[np.isin(p.video, common)] for part in p)) for p in side] for side in sides]
    ours, theirs = (_shares(side, column.metric) for side in keep)
    if not column.higher_is_better:
        ours, theirs = theirs, ours
    same_seeds = [r.seed for r in cell.records] == [r.seed for r in base.records]
    return paired_difference(ours, theirs, paired_seeds=same_seeds)


def _sentence(column: Column, row: str, baseline: str, difference: Difference | None) -> str:
    if difference is None:
        return f'{column.name}: {row} and {baseline} lack stored predictions of the same videos to compare'
    value, low, high = difference.difference, difference.low, difference.high
    weights = 'random weights' if baseline == BASELINE else baseline
    note = ' (with a single seed the spread of seeds is unknown)' if 'one seed' in difference.how else ''
    if low > 0:
        said = f'{row} beat {baseline} by {value:.1f} points [{low:.1f}, {high:.1f}]'
    elif high < 0:
        said = f'{row} fell below {baseline} by {-value:.1f} points [{-high:.1f}, {-low:.1f}]'
    else:
        said = f'{row} is no better than {weights}: {value:+.1f} [{low:.1f}, {high:.1f}]'
    return f'{column.name}: {said}{note}'
