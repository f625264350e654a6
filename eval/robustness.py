"""Sweeps over corruptions side by side: every cell, ranks, and paired differences between two encoders. No torch.

records -> sweeps() -> report(), eval.figures.severity_curves, eval.figures.robustness_heatmap
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from eval.metrics import load_predictions
from eval.metrics.robustness import ranks
from eval.records import Record, RecordError
from eval.stats import Difference, paired_difference
from eval.tables import columns, select

TRAINED_WITH = 'training pipeline contains'  # how a record's note begins that a corruption was trained with


@dataclass
class Sweep:
    """What encoders reached in one column of the table: protocol and dataset.

    Shape letters: S seeds, N videos, K columns of a record (clean, cells, diagnostics).
    """

    name: str
    columns: list[str]  # (K,)
    severities: list[int]
    corruptions: list[str]
    correct: dict[str, np.ndarray]  # row -> (S, N, K) shares right, of the videos that all rows scored
    seeds: dict[str, list[int]]
    partial: bool  # a corruption of the suite could not run, so that the mean is another figure
    notes: list[str]

    @property
    def mean_name(self) -> str:
        """What the mean over cells is called."""
        return 'mPC of those that ran' if self.partial else 'mPC'

    def accuracy(self, row: str) -> dict[str, float]:
        """Top-1 of every column, percent, mean over seeds and videos."""
        return dict(zip(self.columns, (100 * self.correct[row].mean(axis=(0, 1), dtype=np.float64)).tolist()))

    def cells(self, corruption: str) -> list[str]:
        """Its columns, by severity."""
        return [f'{corruption}-{severity}' for severity in self.severities]

    def per_video(self, row: str, corruption: str | None = None) -> list[np.ndarray]:
        """A seed: (N,) share of the severities of a corruption, or of all cells of the mean, that are right."""
        names = [cell for name in ([corruption] if corruption else self.corruptions) for cell in self.cells(name)]
        where = [self.columns.index(name) for name in names]
        return [seed[:, where].mean(axis=1, dtype=np.float64) for seed in self.correct[row]]

    def of_corruption(self, row: str, corruption: str | None = None) -> float:
        """Top-1 over the severities of a corruption, or mPC; percent."""
        return 100 * float(np.mean(self.per_video(row, corruption)))

    def summary(self, row: str) -> dict[str, float]:
        """Clean, mPC, rPC, gamma-a, gamma-r and the worst cell; relative ones only where clean is not 0."""
        accuracy, mpc = self.accuracy(row), self.of_corruption(row)
        clean = accuracy['clean']
        found = {'clean': clean, 'mPC': mpc}
        if clean:
            found |= {'rPC': 100 * mpc / clean, 'gamma-r': mpc / clean}
        worst = min(accuracy[cell] for name in self.corruptions for cell in self.cells(name))
        return found | {'gamma-a': 1 - (clean - mpc) / 100, 'worst cell': worst}

    def worst(self, row: str) -> str:
        """Name of the cell with the lowest top-1."""
        accuracy = self.accuracy(row)
        return min((cell for name in self.corruptions for cell in self.cells(name)), key=accuracy.__getitem__)

    def ranks(self, corruption: str | None = None) -> dict[str, int]:
        """Rank of each row under a corruption (mean over severities), or over all; 1 is the best."""
        found = ranks([self.of_corruption(row, corruption) for row in self.correct])
        return dict(zip(self.correct, found.tolist()))

    def difference(self, row: str, other: str, corruption: str | None = None) -> Difference:
        """Points by which a row is better than another, by a bootstrap over the videos that both saw."""
        return paired_difference(
            self.per_video(row, corruption),
            self.per_video(other, corruption),
            paired_seeds=self.seeds[row] == self.seeds[other],
        )


def is_sweep(record: Record) -> bool:
    """Whether a record holds a sweep over corruptions, of whole videos or of actions in them."""
    return (_is_of_videos(record) or _is_of_actions(record)) and not record.published


def _is_of_videos(record: Record) -> bool:
    return record.score['metric'] in ('mpc', 'mpc_available')


def _is_of_actions(record: Record) -> bool:
    return record.score['metric'].startswith('corrupted_map')


def sweeps(records: Iterable[Record], allow_partial: bool = False) -> list[Sweep]:
    """A sweep for each protocol and dataset, rows in the order of the records.

    Raises:
        RecordError: if no record holds one of whole videos, records do not compare, or predictions are not beside one.
    """
    kept = [record for record in records if is_sweep(record) and _is_of_videos(record)]
    if not kept:
        raise RecordError('no record holds a sweep over corruptions; run eval/run_severe.py --suite robustness_toy')
    return [_sweep(column) for column in columns(select(kept), allow_partial)]


def _sweep(column) -> Sweep:
    config = next(iter(column.cells.values())).records[0].identity['config']
    stored = {}
    for row, cell in column.cells.items():
        stored[row] = [load_predictions(record) for record in cell.records]
        for record, predictions in zip(cell.records, stored[row]):
            if predictions is None:
                raise RecordError(f'{record.path}: its predictions are not beside it; run the cell again')
            if record.identity['config']['columns'] != config['columns']:
                raise RecordError(f'{record.path}: has other columns than the records beside it; draw them apart')
    everywhere = sorted(set.intersection(*(set(p.video.tolist()) for seeds in stored.values() for p in seeds)))
    correct = {
        row: np.stack([p.scores[np.searchsorted(p.video, everywhere)] for p in seeds]) for row, seeds in stored.items()
    }
    notes = [f'{name} could not run here and is in no mean: {why}' for name, why in config['unavailable'].items()]
    for row, cell in column.cells.items():
        told = dict.fromkeys(note for record in cell.records for note in record.notes if note.startswith(TRAINED_WITH))
        notes += [f'{row}: {note}' for note in told]
    return Sweep(
        column.name,
        config['columns'],
        config['severities'],
        list(config['corruptions']),
        correct,
        {row: [record.seed for record in cell.records] for row, cell in column.cells.items()},
        bool(config['unavailable']),
        notes,
    )


def report(records: Iterable[Record], baseline: str = 'random', allow_partial: bool = False) -> str:
    """Clean, mPC and its kin, every corruption with ranks, diagnostics as differences, and paired comparisons.

    Of sweeps over damaged actions: clean mAP, its mean under damage, every corruption with ranks, every cell.

    Raises:
        RecordError: as `sweeps`, if no record holds a sweep of either kind.
    """
    records = list(records)
    actions = [record for record in records if is_sweep(record) and _is_of_actions(record)]
    texts = [_text_of_actions(column) for column in columns(select(actions), allow_partial)] if actions else []
    if not actions or any(is_sweep(record) and _is_of_videos(record) for record in records):
        texts = [_text(sweep, baseline) for sweep in sweeps(records, allow_partial)] + texts
    return '\n\n'.join(texts) + '\n'


def _text_of_actions(column) -> str:
    """Clean mAP first, so that no relative figure stands without it; means over seeds."""
    config = next(iter(column.cells.values())).records[0].identity['config']
    rows = {}
    for row, cell in column.cells.items():
        for record in cell.records:
            if record.identity['config']['columns'] != config['columns']:
                raise RecordError(f'{record.path}: has other columns than the records beside it; draw them apart')
        kept = [record.score['others'] for record in cell.records]
        rows[row] = {
            name: float(np.mean([other[name] for other in kept])) for name in ('clean_map', *config['columns'][1:])
        }
    severities, names = config['severities'], list(config['corruptions'])
    means = {
        name: {row: float(np.mean([found[f'{name}-{s}'] for s in severities])) for row, found in rows.items()}
        for name in names
    }
    whole = {row: float(np.mean([means[name][row] for name in names])) for row in rows}
    lines = [['', *rows], ['clean', *(f'{found["clean_map"]:.1f}' for found in rows.values())]]
    lines.append(['mean damaged', *(f'{value:.1f}' for value in whole.values())])
    lines.append(
        [
            'rPC',
            *(f'{100 * whole[r] / rows[r]["clean_map"]:.1f}' if rows[r]['clean_map'] else 'clean is 0' for r in rows),
        ]
    )
    for name in names:
        rank = ranks(list(means[name].values())).tolist()
        lines.append([name, *(f'{value:.1f} ({place})' for value, place in zip(means[name].values(), rank))])
        for severity in severities:
            cells = [found[f'{name}-{severity}'] for found in rows.values()]
            drops = [value - found['clean_map'] for value, found in zip(cells, rows.values())]
            lines.append([f'  {severity}', *(f'{value:.1f} ({drop:+.1f})' for value, drop in zip(cells, drops))])
    text = [f'{column.name}: mAP in percent', *_aligned(lines)]
    text.append('corruptions: mean over lengths (rank); below each, by length: mAP (difference to clean)')
    return '\n'.join(text)


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ['  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def _text(sweep: Sweep, baseline: str) -> str:
    names = list(sweep.correct)
    lines = [['', *names]]
    summaries = {row: sweep.summary(row) for row in names}
    part = sweep.mean_name.removeprefix('mPC')  # another figure has another name
    for key in ('clean', 'mPC', 'rPC', 'gamma-a', 'gamma-r'):
        digits = 3 if key.startswith('gamma') else 1
        lines.append(
            [
                key if key == 'clean' else key + part,
                *(f'{summaries[r][key]:.{digits}f}' if key in summaries[r] else 'clean is 0' for r in names),
            ]
        )
    lines.append(['worst cell', *(f'{summaries[r]["worst cell"]:.1f} {sweep.worst(r)}' for r in names)])
    for corruption in sweep.corruptions:
        rank = sweep.ranks(corruption)
        lines.append([corruption, *(f'{sweep.of_corruption(r, corruption):.1f} ({rank[r]})' for r in names)])
    counted = {'clean', *(cell for name in sweep.corruptions for cell in sweep.cells(name))}
    for name in (name for name in sweep.columns if name not in counted):
        found = [sweep.accuracy(row) for row in names]
        lines.append([name, *(f'{a[name]:.1f} ({a[name] - a["clean"]:+.1f})' for a in found)])
    text = [f'{sweep.name}: top-1 in percent, {len(next(iter(sweep.correct.values()))[0])} videos', *_aligned(lines)]
    text.append(
        'corruptions: mean over severities (rank); below them, in no mean: top-1 (difference to clean); rPC and '
        'gamma-r divide by the clean accuracy, so a weak encoder scores high there'
    )
    text += sweep.notes
    if baseline in names:
        for row in (row for row in names if row != baseline):
            for corruption in (None, *sweep.corruptions):
                found = sweep.difference(row, baseline, corruption)
                text.append(
                    f'{row} - {baseline}, {corruption or "mPC" + part}: {found.difference:+.1f} '
                    f'[{found.low:.1f}, {found.high:.1f}]'
                )
        text.append('differences: points, 95 %, paired bootstrap over videos, not corrected for their number')
    return '\n'.join(text)
