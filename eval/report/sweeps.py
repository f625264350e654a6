"""Sweeps over corruptions side by side: every cell, ranks, and paired differences between two encoders. No torch.

records -> sweeps() -> report(), eval.report.figures.severity_curves, eval.report.figures.robustness_heatmap
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from eval.metrics import load_predictions
from eval.metrics.corrupted import ranks
from eval.records import TRAINED_WITH, Record, RecordError
from eval.report.statistics import Difference, paired_difference
from eval.report.table import columns, select


@dataclass
class Sweep:
    """What encoders reached in one column of the table: protocol and dataset.

    Shape letters: S seeds, N videos, K columns of a record (clean, cells, diagnostics).
    """

    name: str
    columns: list[str]  # (K,)
    severities: list[int]
    corruptions: list[str]
    scores: dict[str, np.ndarray]  # row -> (S, K) percent
    seeds: dict[str, list[int]]
    num_videos: int  # that all rows scored
    partial: bool  # a corruption of the suite could not run, so that the mean is another figure
    notes: list[str]
    score_name: str = 'top-1'
    # row -> (S, N, K) shares right, of the videos that all rows scored; None where a score is no mean over videos
    correct: dict[str, np.ndarray] | None = None

    @property
    def mean_name(self) -> str:
        """What the mean over cells is called."""
        mean = 'mPC' if self.correct is not None else f'mean damaged {self.score_name}'
        return f'{mean} of those that ran' if self.partial else mean

    def accuracy(self, row: str) -> dict[str, float]:
        """Score of every column, percent, mean over seeds."""
        return dict(zip(self.columns, self.scores[row].mean(axis=0, dtype=np.float64).tolist()))

    def cells(self, corruption: str) -> list[str]:
        """Its columns, by severity."""
        return [f'{corruption}-{severity}' for severity in self.severities]

    def per_video(self, row: str, corruption: str | None = None) -> list[np.ndarray]:
        """A seed: (N,) share of the severities of a corruption, or of all cells of the mean, that are right."""
        names = [cell for name in ([corruption] if corruption else self.corruptions) for cell in self.cells(name)]
        where = [self.columns.index(name) for name in names]
        return [seed[:, where].mean(axis=1, dtype=np.float64) for seed in self.correct[row]]

    def of_corruption(self, row: str, corruption: str | None = None) -> float:
        """Score over the severities of a corruption, or over all cells of the mean; percent."""
        accuracy = self.accuracy(row)
        names = [corruption] if corruption else self.corruptions
        return float(np.mean([accuracy[cell] for name in names for cell in self.cells(name)]))

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
        """Rank of each row under a corruption (mean over severities), or over all; 1 is the best.

        Compared to a millionth of a point, so that equal shares rank equal whatever the order of their sum.
        """
        found = ranks([round(self.of_corruption(row, corruption), 6) for row in self.scores])
        return dict(zip(self.scores, found.tolist()))

    def difference(self, row: str, other: str, corruption: str | None = None) -> Difference:
        """Points by which a row is better than another, by a bootstrap over the videos that both saw."""
        return paired_difference(
            self.per_video(row, corruption),
            self.per_video(other, corruption),
            paired_seeds=self.seeds[row] == self.seeds[other],
        )


def is_sweep(record: Record) -> bool:
    """Whether a record holds a sweep over corruptions, of whole videos or of actions in them."""
    metric = record.score['metric']
    return (metric in ('mpc', 'mpc_available') or metric.startswith('corrupted_map')) and not record.published


def sweeps(records: Iterable[Record], allow_partial: bool = False) -> list[Sweep]:
    """A sweep for each protocol and dataset, rows in the order of the records.

    Raises:
        RecordError: if no record holds one, records do not compare, or predictions are not beside one.
    """
    kept = [record for record in records if is_sweep(record)]
    if not kept:
        raise RecordError('no record holds a sweep over corruptions; run eval/run_severe.py --suite robustness_toy')
    return [_sweep(column) for column in columns(select(kept), allow_partial)]


def _sweep(column) -> Sweep:
    config = next(iter(column.cells.values())).records[0].identity['config']
    for cell in column.cells.values():
        for record in cell.records:
            if record.identity['config']['columns'] != config['columns']:
                raise RecordError(f'{record.path}: has other columns than the records beside it; draw them apart')
    notes = [f'{name} could not run here and is in no mean: {why}' for name, why in config['unavailable'].items()]
    for row, cell in column.cells.items():
        told = dict.fromkeys(note for record in cell.records for note in record.notes if note.startswith(TRAINED_WITH))
        notes += [f'{row}: {note}' for note in told]
    what = _of_videos if column.metric.startswith('mpc') else _of_actions
    return Sweep(
        name=column.name,
        columns=config['columns'],
        severities=config['severities'],
        corruptions=list(config['corruptions']),
        seeds={row: [record.seed for record in cell.records] for row, cell in column.cells.items()},
        partial=bool(config['unavailable']),
        notes=notes,
        **what(column, config['columns']),
    )


def _of_videos(column, _names: list[str]) -> dict:
    """Scores from what was right in each video that all rows scored."""
    stored = {}
    for row, cell in column.cells.items():
        stored[row] = [load_predictions(record) for record in cell.records]
        for record, predictions in zip(cell.records, stored[row]):
            if predictions is None:
                raise RecordError(f'{record.path}: its predictions are not beside it; run the cell again')
    everywhere = sorted(set.intersection(*(set(p.video.tolist()) for seeds in stored.values() for p in seeds)))
    correct = {
        row: np.stack([p.scores[np.searchsorted(p.video, everywhere)] for p in seeds]) for row, seeds in stored.items()
    }
    scores = {row: 100 * shares.mean(axis=1, dtype=np.float64) for row, shares in correct.items()}
    return {'scores': scores, 'num_videos': len(everywhere), 'correct': correct}


def _of_actions(column, names: list[str]) -> dict:
    """mAP of every column as the records hold it; each row's own videos, as mAP is no mean over videos."""
    scores = {
        row: np.array([[r.score['others'][name] for name in ('clean_map', *names[1:])] for r in cell.records])
        for row, cell in column.cells.items()
    }
    fewest = min(record.dataset['num_scored'] for cell in column.cells.values() for record in cell.records)
    return {'scores': scores, 'num_videos': fewest, 'score_name': 'mAP'}


def report(records: Iterable[Record], baseline: str = 'random', allow_partial: bool = False) -> str:
    """Clean, the mean and its kin, every corruption with ranks, diagnostics as differences, paired comparisons.

    Of damaged actions also every cell, and no paired comparisons, as mAP is no mean over videos.
    """
    return '\n\n'.join(_text(sweep, baseline) for sweep in sweeps(records, allow_partial)) + '\n'


def _text(sweep: Sweep, baseline: str) -> str:
    names = list(sweep.scores)
    lines = [['', *names]]
    summaries = {row: sweep.summary(row) for row in names}
    # Another figure has another name.
    part = ' of those that ran' if sweep.partial else ''
    for key in ('clean', 'mPC', 'rPC', 'gamma-a', 'gamma-r'):
        digits = 3 if key.startswith('gamma') else 1
        name = key if key == 'clean' else sweep.mean_name if key == 'mPC' else key + part
        found = (f'{summaries[r][key]:.{digits}f}' if key in summaries[r] else 'clean is 0' for r in names)
        lines.append([name, *found])
    lines.append(['worst cell', *(f'{summaries[r]["worst cell"]:.1f} {sweep.worst(r)}' for r in names)])
    accuracy = {row: sweep.accuracy(row) for row in names}

    def with_differences(label: str, column: str) -> list[str]:
        found = [accuracy[row] for row in names]
        return [label, *(f'{a[column]:.1f} ({a[column] - a["clean"]:+.1f})' for a in found)]

    for corruption in sweep.corruptions:
        rank = sweep.ranks(corruption)
        found = [f'{sweep.of_corruption(row, corruption):.1f} ({rank[row]})' for row in names]
        if sweep.correct is not None:
            cells = ([accuracy[row][cell] for cell in sweep.cells(corruption)] for row in names)
            found = [f'{mean}: {" ".join(f"{cell:.1f}" for cell in each)}' for mean, each in zip(found, cells)]
        lines.append([corruption, *found])
        if sweep.correct is None:
            lines += [with_differences(f'  {s}', cell) for s, cell in zip(sweep.severities, sweep.cells(corruption))]
    counted = {'clean', *(cell for name in sweep.corruptions for cell in sweep.cells(name))}
    lines += [with_differences(name, name) for name in sweep.columns if name not in counted]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [f'{sweep.name}: {sweep.score_name} in percent, {sweep.num_videos} videos']
    text += ['  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    severities = ' '.join(map(str, sweep.severities))
    besides = f': severities {severities}; below them, in no mean'
    if sweep.correct is None:
        besides = '; below each, by severity'
    text.append(
        f'corruptions: mean over severities (rank){besides}: {sweep.score_name} (difference to clean); rPC and '
        'gamma-r divide by the clean score, so a weak encoder scores high there'
    )
    text += sweep.notes
    if baseline in names and sweep.correct is not None:
        for row in (row for row in names if row != baseline):
            for corruption in (None, *sweep.corruptions):
                found = sweep.difference(row, baseline, corruption)
                text.append(
                    f'{row} - {baseline}, {corruption or "mPC" + part}: {found.difference:+.1f} '
                    f'[{found.low:.1f}, {found.high:.1f}]'
                )
        text.append('differences: points, 95 %, paired bootstrap over videos, not corrected for their number')
    return '\n'.join(text)
