"""Tables of records: columns that may stand together, their mean and intervals. No torch.

records -> columns() -> results_table(), format_table(), table_csv(), eval.report.figures
                     -> eval.report.verdicts
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from eval.metrics import METRICS, Metric, Predictions, load_predictions
from eval.metrics.metric import DIGITS, UNIFORM
from eval.records import (
    MIN_COVERAGE_PERCENT,
    Record,
    RecordError,
    check_comparable,
    coverage,
    is_partial,
    predictions_path,
)
from eval.report.statistics import (
    Interval,
    Scorer,
    bootstrap_interval,
    interval,
    interval_from_scores,
    interval_over_seeds,
    mean_scorer,
)
from eval.report.summaries import Summary
from sigma.errors import did_you_mean

BASELINE = 'random'
DEFAULT_RECIPE = 'default'
# Marks behind a number: videos are lacking, but few; so many that it is left out of means.
INCOMPLETE, LEFT_OUT = '*', '!'


@dataclass
class TableCell:
    """One encoder in one column: a record a seed. In the column of a summary: all records that it is a mean of."""

    records: list[Record]
    interval: Interval  # low and high are NaN for a published number
    left_out: bool = False  # of means, best and verdicts: it scored too few of the videos
    parts: list[TableCell] = field(default_factory=list)  # of a summary: its columns' cells

    @property
    def scores(self) -> list[float]:
        """A score a seed; none in a summary, whose columns may have other seeds each."""
        return [] if self.parts else [record.score['value'] for record in self.records]

    @property
    def published(self) -> bool:
        return all(record.published for record in self.records)

    @property
    def coverage(self) -> float:
        """Least coverage of its records, percent; 100 where a published number does not say."""
        return min(100.0 if (share := coverage(record)) is None else share for record in self.records)

    @property
    def num_seeds(self) -> str:
        """`3`, or `1-3` where the columns of a summary differ."""
        counts = {part.interval.num_seeds for part in self.parts if not part.published} or {self.interval.num_seeds}
        return '-'.join(map(str, sorted({min(counts), max(counts)})))

    @property
    def mark(self) -> str:
        """What stands behind its number."""
        return LEFT_OUT if self.left_out else INCOMPLETE if self.coverage < 100 else ''


@dataclass
class Column:
    """Records of one protocol, dataset and kind of subset, which were found to compare; or the mean of some."""

    protocol: str  # in the column of a summary: its name
    dataset: str
    subset: str | None  # None is all of the training list
    metric: str
    unit: str
    higher_is_better: bool
    num_classes: int | None = None
    chance: float | None = None  # score without looking at the videos (Metric.chance); None where it is not known
    cells: dict[str, TableCell] = field(default_factory=dict)  # row -> cell
    # Of a summary: row -> names of the columns that it lacks, so that it has no mean.
    lacks: dict[str, list[str]] = field(default_factory=dict)
    is_summary: bool = False

    @property
    def key(self) -> tuple[str, str, str | None]:
        return self.protocol, self.dataset, self.subset

    @property
    def name(self) -> str:
        return _name(self.key)

    @property
    def metric_label(self) -> str:
        return METRICS[self.metric].label if self.metric in METRICS else self.metric.replace('_', ' ')

    @property
    def best(self) -> float | None:
        """Best mean of those that count; None where there are not two to compare."""
        means = [cell.interval.mean for cell in self.cells.values() if not cell.left_out]
        return None if len(means) < 2 else max(means) if self.higher_is_better else min(means)

    def text(self, value: float, sign: str = '') -> str:
        """A number of this column: percent with one digit, ratios with three."""
        return f'{value:{sign}.{DIGITS.get(self.unit, 1)}f}'


def _name(key: tuple[str, str, str | None]) -> str:
    return ' / '.join(part for part in key if part)


def select(
    records: Iterable[Record],
    encoders: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
) -> list[Record]:
    """Records of the named encoders, protocols and datasets, in the order asked; None asks for all.

    By itself the order is: random weights first, then by name, then published rows as they come; few shots before
    many before all.

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
        if names:
            return (list(names).index(name),)
        as_it_comes = kind == 'encoder' and record.published
        return (name != BASELINE, as_it_comes, '' if as_it_comes else name)

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


def columns(records: Iterable[Record], allow_partial: bool = False, summary: Summary | None = None) -> list[Column]:
    """Columns in the order in which their first record comes (`select` orders them), each checked.

    Args:
        records: In the order wanted.
        allow_partial: Let records that scored under 99 % of their videos count like others.
        summary: Adds the column of this mean at the end, after its columns in its own order.

    Raises:
        RecordError: if records of a column do not compare (`check_comparable`), a row holds two sets of
            weights or one seed twice, stored predictions give another score, or a column has no place in the
            mean.
    """
    groups: dict[tuple, list[Record]] = {}
    records = _without_copies(records)
    for record in records:
        key = (record.protocol['name'], record.dataset['name'], record.get('subset.name'))
        groups.setdefault(key, []).append(record)
    several = _several_recipes(groups)
    sources = {record.identity.get('table') for record in records if record.published}
    result = []
    for (protocol, dataset, subset), members in groups.items():
        check_comparable(members)
        score = members[0].score
        column = Column(protocol, dataset, subset, score['metric'], score['unit'], score['higher_is_better'])
        column.num_classes = next((n for m in members if (n := m.dataset['num_classes'])), None)
        labels = None
        for row, seeds in _rows(members, several, len(sources) > 1).items():
            _check_row(row, seeds, column)
            predictions = [None if record.published else load_predictions(record) for record in seeds]
            left_out = not allow_partial and any(map(is_partial, seeds))
            column.cells[row] = TableCell(seeds, _interval(seeds, predictions), left_out)
            for found in predictions:
                if found is not None and (labels is None or len(found.label) > len(labels)):
                    labels = found.label
        if column.metric in METRICS and column.num_classes:
            column.chance = METRICS[column.metric].chance(column.num_classes, labels)
        result.append(column)
    return result if summary is None else _with_summary(result, summary)


def _with_summary(table: list[Column], summary: Summary) -> list[Column]:
    """The table with the columns of the summary last, in its order, and then their mean.

    The mean is the plain mean of percent scores, with an error that is a ratio entered as 100 (1 - error). Its
    interval takes the errors of the columns for independent: on each side the root of the sum of the squared
    half-widths of the columns, over their number (the construction of `eval.report.statistics.interval`). Columns
    that share test videos or pretrained weights are not quite independent, so with those it is a little narrow.
    """
    by_key = {column.key: column for column in table}
    inside = [by_key[key] for key in summary.columns if key in by_key]
    mean = Column(summary.name, '', None, 'mean', 'percent', True, is_summary=True)
    for row in rows(inside):
        parts = {key: by_key[key].cells.get(row) for key in summary.columns if key in by_key}
        lacking = [key for key in summary.columns if parts.get(key) is None or parts[key].left_out]
        if lacking:
            mean.lacks[row] = [_name(key) for key in lacking]
            continue
        found = [_in_percent(by_key[key], cell.interval) for key, cell in parts.items()]
        cells = list(parts.values())
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
    return [column for column in table if column not in inside] + [*inside, mean]


def _in_percent(column: Column, of: Interval) -> tuple[float, float, float]:
    """(mean, low, high) as they enter a summary: percent, higher is better."""
    if column.unit == 'percent' and column.higher_is_better:
        return of.mean, of.low, of.high
    if column.unit == 'ratio' and not column.higher_is_better:
        return 100 * (1 - of.mean), 100 * (1 - of.high), 100 * (1 - of.low)
    direction = 'higher' if column.higher_is_better else 'lower'
    raise RecordError(
        f'{column.name} cannot enter a mean: {column.metric} in {column.unit}, {direction} is better; wanted percent '
        'where higher is better, or an error that is a ratio'
    )


def rows(table: Sequence[Column]) -> list[str]:
    """Names of all rows, in the order of the fullest column, then as they come."""
    by_size = sorted((column for column in table if not column.is_summary), key=lambda column: -len(column.cells))
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


def _rows(members: list[Record], several: set[tuple[str, str]], name_tables: bool) -> dict[str, list[Record]]:
    result: dict[str, list[Record]] = {}
    for record in members:
        row, recipe = record.encoder['name'], record.get('recipe.name')
        if (row, record.protocol['name']) in several and recipe not in (None, DEFAULT_RECIPE):
            row += f' [{recipe}]'
        if record.published:
            table = record.identity.get('table')
            row += f' (published, {table})' if name_tables and table else ' (published)'
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


def _interval(seeds: list[Record], predictions: list[Predictions | None]) -> Interval:
    """Interval of a row: from predictions where they are stored, else from the scores alone."""
    scores = [record.score['value'] for record in seeds]
    if seeds[0].published:
        return Interval(float(np.mean(scores)), math.nan, math.nan, len(seeds), 0, 'published, no interval')
    metric = METRICS.get(seeds[0].score['metric'])
    if metric is None:
        return interval_over_seeds(scores)
    limits = (0, 100) if metric.unit == 'percent' else (0, math.inf)
    if metric.per_video is None and metric.resampled is None:
        return interval_over_seeds(scores, limits=limits)
    if all(p is not None and np.array_equal(p.video, predictions[0].video) for p in predictions):
        if gives_shares(metric):
            return interval(shares(predictions, metric))
        return bootstrap_interval(scorers(predictions, metric), len(predictions[0].video), limits=limits)
    if gives_shares(metric):
        return interval_from_scores(scores, min(record.dataset['num_scored'] for record in seeds))
    return interval_over_seeds(scores, limits=limits)


def gives_shares(metric: Metric) -> bool:
    """Whether the score is a share of right answers: percent, and a mean over videos."""
    return metric.per_video is not None and metric.unit == 'percent'


def shares(predictions: Sequence[Predictions], metric: Metric) -> list[np.ndarray]:
    """What each video adds to the score, (N,) of every seed."""
    return [metric.per_video(p.scores, p.label) for p in predictions]


def scorers(predictions: Sequence[Predictions], metric: Metric) -> list[Scorer]:
    """Of every seed, the score as a function of the videos' weights."""
    if metric.resampled is not None:
        return [metric.resampled(p.scores, p.label) for p in predictions]
    return [mean_scorer(values) for values in shares(predictions, metric)]


def results_table(
    records: Iterable[Record], allow_partial: bool = False, summary: Summary | None = None
) -> pd.DataFrame:
    """A row an encoder; for each column mean, low, high (95 %), n (seeds) and coverage (percent).

    Means are percent or ratios, as the metric of the column is. What is missing is NaN. Raises as `columns`.
    """
    table = columns(records, allow_partial, summary)
    frame = {
        (column.name, key): {row: _figures(cell)[key] for row, cell in column.cells.items()}
        for column in table
        for key in ('mean', 'low', 'high', 'n', 'coverage')
    }
    return pd.DataFrame(frame, index=rows(table), dtype=float)


def _figures(cell: TableCell) -> dict[str, float]:
    mean, low, high, num_seeds, *_ = cell.interval
    return {'mean': mean, 'low': low, 'high': high, 'n': num_seeds, 'coverage': cell.coverage}


def table_csv(records: Iterable[Record], allow_partial: bool = False, summary: Summary | None = None) -> str:
    """The same in long form, a line for each row and column: for a spreadsheet or another program.

    `in_means` is False where too few videos were scored. A row without a mean says in `interval` what it lacks.
    """
    table = columns(records, allow_partial, summary)
    lines = [
        {**_column_figures(column, row), **_figures(cell), 'num_videos': cell.interval.num_videos}
        | {'chance': column.chance, 'interval': cell.interval.how, 'in_means': not cell.left_out}
        for column in table
        for row, cell in column.cells.items()
    ]
    for mean in table[-1:] if summary is not None else []:
        lines += [
            # n and num_videos as well: a gap would turn whole columns of whole numbers into floats.
            _column_figures(mean, row)
            | {'n': 0, 'num_videos': 0, 'interval': f'lacks {"; ".join(names)}', 'in_means': False}
            for row, names in mean.lacks.items()
        ]
    return pd.DataFrame(lines).to_csv(index=False, float_format='%.4f', lineterminator='\n')


def _column_figures(column: Column, row: str) -> dict[str, str]:
    return {
        'encoder': row,
        'protocol': column.protocol,
        'dataset': column.dataset,
        'subset': column.subset or ('' if column.is_summary else 'all'),
        'metric': column.metric,
        'unit': column.unit,
    }


def format_table(
    records: Iterable[Record],
    style: str = 'text',
    allow_partial: bool = False,
    summary: Summary | None = None,
) -> str:
    """The table for people: `83.2 [80.1, 86.0] n=3`, a row of chance, and what to know below it.

    Args:
        records: In the order wanted (`select`).
        style: `text` for a terminal, or `markdown` with the best of each column in bold.
        allow_partial, summary: As in `columns`.
    """
    if style not in ('text', 'markdown'):
        raise ValueError(did_you_mean('table style', style, ('text', 'markdown')))
    table = columns(records, allow_partial, summary)
    measured = [column for column in table if not column.is_summary]
    grid = [['encoder', *(column.name for column in table)]]
    if any(column.metric_label != measured[0].metric_label for column in measured):
        grid.append(['metric', *(column.metric_label for column in table)])
    for row in rows(table):
        grid.append([row, *(_cell_text(column, row, style) for column in table)])
    grid.append(['chance', *(c.text(c.chance) if c.chance is not None else '-' for c in table)])
    notes = _footnotes(table)
    if style == 'markdown':
        notes = [f'{note}\n'.replace('*', '\\*') for note in notes]
    return '\n'.join([*_lay_out(grid, style), '', *notes]).rstrip() + '\n'


def _cell_text(column: Column, row: str, style: str) -> str:
    cell = column.cells.get(row)
    if cell is None:
        return '-' if column.is_summary else 'missing'
    text = column.text(cell.interval.mean)
    if style == 'markdown' and cell.interval.mean == column.best and not cell.left_out:
        text = f'**{text}**'
    text += cell.mark if style == 'text' else cell.mark.replace('*', '\\*')
    if not math.isnan(cell.interval.low):
        text += f' [{column.text(cell.interval.low)}, {column.text(cell.interval.high)}]'
    return text if cell.published else f'{text} n={cell.num_seeds}'


def _lay_out(grid: list[list[str]], style: str) -> list[str]:
    widths = [max(map(len, texts)) for texts in zip(*grid)]
    gap = ' | ' if style == 'markdown' else '  '
    padded = [gap.join(text.ljust(width) for text, width in zip(line, widths)) for line in grid]
    if style == 'markdown':
        padded = [f'| {line} |' for line in padded]
        return [padded[0], '|' + '|'.join('-' * (width + 2) for width in widths) + '|', *padded[1:]]
    return [padded[0].rstrip(), '-' * len(padded[0]), *(line.rstrip() for line in padded[1:])]


def _footnotes(table: Sequence[Column]) -> list[str]:
    measured = [column for column in table if not column.is_summary]
    cells = [cell for column in measured for cell in column.cells.values()]
    how = 'as published' if all(cell.published for cell in cells) else 'mean over n seeds [95 % interval]'
    chance = chance_note(measured)
    notes = [f'{_units(measured)}, {how}' + (f'; chance: {chance}' if chance else '')]
    if lost := lost_predictions(measured):
        notes.append(f'predictions are no longer beside the record, so that intervals are coarser: {"; ".join(lost)}')
    if any(len(cell.records) == 1 and not cell.published for cell in cells):
        notes.append('n=1: the interval speaks of the test videos alone, not of other seeds')
    if incomplete := partial_notes(table, left_out=False):
        notes.append(f'{INCOMPLETE} videos were left unscored: ' + '; '.join(incomplete))
    if left_out := partial_notes(table, left_out=True):
        notes.append(
            f'{LEFT_OUT} under {MIN_COVERAGE_PERCENT:.0f} % of the videos were scored, so that it is left out of '
            f'means, best and verdicts (--allow-partial takes it in): {"; ".join(left_out)}'
        )
    return notes + summary_notes(table) + published_notes(table)


def _units(table: Sequence[Column]) -> str:
    """'top-1 accuracy in percent'; 'scores in percent, count error as a ratio (lower is better)'."""
    others = dict.fromkeys(
        f'{c.metric_label} {"in percent" if c.unit == "percent" else f"as a {c.unit}"}'
        + ('' if c.higher_is_better else ' (lower is better)')
        for c in table
        if c.unit != 'percent' or not c.higher_is_better
    )
    plain = dict.fromkeys(c.metric_label for c in table if c.unit == 'percent' and c.higher_is_better)
    label = [f'{next(iter(plain)) if len(plain) == 1 else "scores"} in percent'] if plain else []
    return ', '.join([*label, *others])


def chance_note(table: Sequence[Column]) -> str:
    """What chance is in these columns: 'a uniform guess', and what else it is where the metric is no accuracy."""
    found: dict[str, str] = {}
    for column in table:
        if column.chance is not None:
            found.setdefault(METRICS[column.metric].chance_label, column.metric_label)
    plain = [text for text in found if text == UNIFORM or len(found) == 1]
    return ', '.join(plain + [f'of {label} {text}' for text, label in found.items() if text not in plain])


def partial_notes(table: Sequence[Column], left_out: bool) -> list[str]:
    """For each cell that did not score all videos, how many and why: 'a in finetune / toy 1 of 200 (seed 0)'.

    Args:
        table: From `columns`.
        left_out: Those that are left out of means, with the reason of the first video; or the others.
    """
    notes = []
    for column in table:
        for row, cell in column.cells.items():
            if column.is_summary or cell.left_out != left_out:
                continue
            lacking = [record for record in cell.records if record.get('dataset.unscored')]
            each = [f'{len(r.dataset["unscored"])} of {r.dataset["num_listed"]} (seed {r.seed})' for r in lacking]
            if each:
                first = lacking[0].dataset['unscored'][0]
                why = f', first {first["video"]}: {first["reason"]}' if left_out else ''
                unscored = ' unscored' if left_out else ''
                notes.append(f'{row} in {column.name} {", ".join(each)}{unscored}{why}')
    return notes


def lost_predictions(table: Sequence[Column]) -> list[str]:
    """Cells of which a record was written with predictions that are not beside it now: 'a in finetune / toy'."""
    return [
        f'{row} in {column.name}'
        for column in table
        for row, cell in column.cells.items()
        if any(r.path and r.predictions_sha256 and not predictions_path(r.path).exists() for r in cell.records)
    ]


def summary_notes(table: Sequence[Column]) -> list[str]:
    """What a mean is made of, and for rows without one what they lack."""
    notes = []
    for mean in (column for column in table if column.is_summary):
        notes.append(
            f'{mean.name}: percent, an error as 100 (1 - error); its interval takes the errors of the columns for '
            'independent'
        )
        by_lack: dict[tuple[str, ...], list[str]] = {}
        for row, names in mean.lacks.items():
            by_lack.setdefault(tuple(names), []).append(row)
        for names, those in by_lack.items():
            which = ', '.join(those[:3]) + (f' and {len(those) - 3} more' if len(those) > 3 else '')
            notes.append(f'no {mean.name} without {"; ".join(names)}: {which}')
    return notes


def published_notes(table: Sequence[Column]) -> list[str]:
    """Where the published numbers come from, and what to know when they stand beside others."""
    cells = [cell for column in table if not column.is_summary for cell in column.cells.values() if cell.published]
    records = [record for cell in cells for record in cell.records]
    sources = dict.fromkeys(record.encoder['source'] for record in records)
    said = dict.fromkeys(note for record in records for note in record.notes)
    return [f'published: {"; ".join(sources)}', *said] if records else []
