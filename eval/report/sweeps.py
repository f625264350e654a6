"""Sweeps over corruptions: every cell, ranks, and paired differences between encoders. No torch.

Table -> sweeps() -> report(), eval.report.figures.severity_curves, eval.report.figures.robustness_heatmap
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.metrics import Predictions
from eval.metrics.corrupted import ranks
from eval.records import TRAINED_WITH, Record, RecordError
from eval.report.p_values import holm
from eval.report.statistics import MIN_VIDEOS, Difference, paired_difference
from eval.report.table import BASELINE, Column, Table, TableCell
from eval.report.verdicts import p_text
from sigma.text import align


@dataclass
class Sweep:
    """What encoders reached under corruptions in one column of the table.

    Shape letters: S seeds, N videos, K columns of a record (clean, cells, diagnostics). A cell is one corruption at one
    severity; a diagnostic is a corruption that enters no mean.
    """

    name: str
    columns: list[str]  # (K,)
    severities: list[int]
    corruptions: list[str]
    scores: dict[str, np.ndarray]  # row -> (S, K) percent
    seeds: dict[str, list[int]]
    num_videos: int  # that all rows scored
    partial: bool  # a corruption of the suite could not run, so the mean gets another name
    notes: list[str]
    score_name: str = 'top-1'
    drawn: bool = False  # seeds of one number share a few-shot draw
    # row -> (S, N, K) shares right, of the videos that all rows scored; None if the score is no mean over videos
    correct: dict[str, np.ndarray] | None = None

    @property
    def mean_name(self) -> str:
        """What the mean over cells is called."""
        mean = 'mPC' if self.correct is not None else f'mean corrupted {self.score_name}'
        return f'{mean}{_of_part(self)}'

    def accuracy(self, row: str) -> dict[str, float]:
        """Column -> score in percent, mean over seeds."""
        return dict(zip(self.columns, self.scores[row].mean(axis=0, dtype=np.float64).tolist()))

    def cells(self, corruption: str) -> list[str]:
        """Columns of a corruption, by severity."""
        return [f'{corruption}-{severity}' for severity in self.severities]

    def per_video(self, row: str, corruption: str | None = None) -> list[np.ndarray]:
        """One (N,) array per seed: share of the severities of a corruption, or of all cells, that are right.

        Raises:
            ValueError: if the score is no mean over videos.
        """
        if self.correct is None:
            raise ValueError(f'{self.name}: {self.score_name} is no mean over videos')
        names = [cell for name in ([corruption] if corruption else self.corruptions) for cell in self.cells(name)]
        where = [self.columns.index(name) for name in names]
        return [seed[:, where].mean(axis=1, dtype=np.float64) for seed in self.correct[row]]

    def of_corruption(self, row: str, corruption: str | None = None) -> float:
        """Mean score over the severities of a corruption, or over all cells; percent."""
        accuracy = self.accuracy(row)
        names = [corruption] if corruption else self.corruptions
        return float(np.mean([accuracy[cell] for name in names for cell in self.cells(name)]))

    def summary(self, row: str) -> dict[str, float]:
        """clean, mPC, rPC, gamma-a, gamma-r and the worst cell; rPC and gamma-r only if clean is not 0."""
        accuracy, mpc = self.accuracy(row), self.of_corruption(row)
        clean = accuracy['clean']
        found = {'clean': clean, 'mPC': mpc}
        if clean:
            found |= {'rPC': 100 * mpc / clean, 'gamma-r': mpc / clean}
        return found | {'gamma-a': 1 - (clean - mpc) / 100, 'worst cell': accuracy[self.worst(row)]}

    def worst(self, row: str) -> str:
        """Name of the cell with the lowest score."""
        accuracy = self.accuracy(row)
        return min((cell for name in self.corruptions for cell in self.cells(name)), key=accuracy.__getitem__)

    def ranks(self, corruption: str | None = None) -> dict[str, int]:
        """Row -> rank under a corruption (mean over severities), or over all; 1 is the best.

        Scores are rounded to a millionth of a point, so equal shares get equal ranks in whatever order they were added.
        """
        found = ranks(np.array([round(self.of_corruption(row, corruption), 6) for row in self.scores]))
        return dict(zip(self.scores, found.tolist()))

    def difference(self, row: str, other: str, corruption: str | None = None) -> Difference:
        """Points by which a row is better than another, over the videos that both scored (`paired_difference`)."""
        return paired_difference(
            self.per_video(row, corruption),
            self.per_video(other, corruption),
            paired_seeds=self.drawn and self.seeds[row] == self.seeds[other],
        )


def is_sweep(record: Record) -> bool:
    """Whether a record holds a sweep over corruptions, of whole videos or of the actions in them."""
    metric = record.score['metric']
    return (metric in ('mpc', 'mpc_available') or metric.startswith('corrupted_map')) and not record.published


def holds_sweep(column: Column) -> bool:
    """Whether a column of the table holds sweeps over corruptions."""
    return any(is_sweep(record) for cell in column.cells.values() for record in cell.records)


def sweeps(table: Table) -> list[Sweep]:
    """One sweep for each column that holds some, rows in the order of the table.

    Raises:
        RecordError: if no column holds one, records have different corruptions, or predictions are missing.
    """
    kept = [column for column in table.measured if holds_sweep(column)]
    if not kept:
        raise RecordError('no record holds a sweep over corruptions; run eval/run_severe.py --suite robustness_toy')
    return [_sweep(table, column) for column in kept]


def _sweep(table: Table, column: Column) -> Sweep:
    cells = {row: cell for row, cell in column.cells.items() if not cell.published}
    config = next(iter(cells.values())).records[0].identity['config']
    for cell in cells.values():
        for record in cell.records:
            if record.identity['config']['columns'] != config['columns']:
                raise RecordError(
                    f'{record.path} has other corruptions or severities than the others here; show it separately'
                )
    notes = [f'{name} could not run here, so no mean includes it: {why}' for name, why in config['unavailable'].items()]
    for row, cell in cells.items():
        told = dict.fromkeys(note for record in cell.records for note in record.notes if note.startswith(TRAINED_WITH))
        notes += [f'{row}: {note}' for note in told]
    videos = column.metric.startswith('mpc')
    found = _of_videos(cells, table.predictions) if videos else _of_actions(cells, config['columns'])
    return Sweep(
        name=column.name,
        columns=config['columns'],
        severities=config['severities'],
        corruptions=list(config['corruptions']),
        seeds={row: [record.seed or 0 for record in cell.records] for row, cell in cells.items()},
        partial=bool(config['unavailable']),
        notes=notes,
        drawn=column.subset is not None,
        **found,
    )


def _of_videos(cells: dict[str, TableCell], predictions_of: Callable[[Record], Predictions | None]) -> dict[str, Any]:
    """Scores from what was right in each video that all rows scored."""
    stored: dict[str, list[Predictions]] = {}
    for row, cell in cells.items():
        for record in cell.records:
            if (predictions := predictions_of(record)) is None:
                raise RecordError(f'{record.path}: its predictions are missing; run the cell again')
            stored.setdefault(row, []).append(predictions)
    everywhere = sorted(set.intersection(*(set(p.video.tolist()) for seeds in stored.values() for p in seeds)))
    correct = {
        row: np.stack([p.scores[np.searchsorted(p.video, everywhere)] for p in seeds]) for row, seeds in stored.items()
    }
    scores = {row: 100 * shares.mean(axis=1, dtype=np.float64) for row, shares in correct.items()}
    return {'scores': scores, 'num_videos': len(everywhere), 'correct': correct}


def _of_actions(cells: dict[str, TableCell], names: list[str]) -> dict[str, Any]:
    """mAP of every column as the records hold it, over each row's own videos: mAP is no mean over videos."""
    scores = {
        row: np.array([[r.score['others'][name] for name in ('clean_map', *names[1:])] for r in cell.records])
        for row, cell in cells.items()
    }
    fewest = min(record.dataset['num_scored'] for cell in cells.values() for record in cell.records)
    return {'scores': scores, 'num_videos': fewest, 'score_name': 'mAP'}


def report(table: Table, baseline: str = BASELINE) -> str:
    """All sweeps as text: clean, the means, each corruption with ranks, diagnostics, and paired comparisons.

    For actions it lists every cell too, and has no paired comparisons, since mAP is no mean over videos.
    """
    return '\n\n'.join(_text(sweep, baseline) for sweep in sweeps(table)) + '\n'


def _text(sweep: Sweep, baseline: str) -> str:
    lines = [f'{sweep.name}: {sweep.score_name} in percent, {sweep.num_videos} videos', align(_grid(sweep))]
    if sweep.correct is None:
        lines.append('corruptions: mean over severities (rank); below each, its severities (difference from clean)')
    else:
        severities = ' '.join(map(str, sweep.severities))
        lines.append(f'corruptions: mean over severities (rank): {sweep.score_name} at severities {severities}')
        lines.append(f'rows below the corruptions are in no mean: {sweep.score_name} (difference from clean)')
    lines.append('note: rPC and gamma-r divide by the clean score, so a weak encoder scores high on them')
    return '\n'.join([*lines, *sweep.notes, *_comparisons(sweep, baseline)])


def _grid(sweep: Sweep) -> list[list[str]]:
    """A line for each figure, a column for each row of the table."""
    names = list(sweep.scores)
    summaries = {row: sweep.summary(row) for row in names}
    accuracy = {row: sweep.accuracy(row) for row in names}
    lines = [['', *names]]
    for key in ('clean', 'mPC', 'rPC', 'gamma-a', 'gamma-r'):
        digits = 3 if key.startswith('gamma') else 1
        name = key if key == 'clean' else sweep.mean_name if key == 'mPC' else key + _of_part(sweep)
        lines.append(
            [name, *(f'{summaries[r][key]:.{digits}f}' if key in summaries[r] else 'clean is 0' for r in names)]
        )
    lines.append(['worst cell', *(f'{summaries[r]["worst cell"]:.1f} {sweep.worst(r)}' for r in names)])

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
    return lines + [with_differences(name, name) for name in sweep.columns if name not in counted]


def _of_part(sweep: Sweep) -> str:
    """Ending of the names of means when some corruptions could not run."""
    return ' of corruptions that ran' if sweep.partial else ''


def _comparisons(sweep: Sweep, baseline: str) -> list[str]:
    """Each row against the baseline, over all cells and by corruption."""
    if baseline not in sweep.scores or sweep.correct is None:
        return []
    if sweep.num_videos < MIN_VIDEOS:
        return [f'nothing is compared: {sweep.num_videos} videos were scored by all rows, and that needs {MIN_VIDEOS}']
    pairs = [(row, name) for row in sweep.scores if row != baseline for name in (None, *sweep.corruptions)]
    found = [sweep.difference(row, baseline, corruption) for row, corruption in pairs]
    lines = [
        f'{row} - {baseline}, {corruption or "mPC" + _of_part(sweep)}: {each.difference:+.1f} '
        f'[{each.low:.1f}, {each.high:.1f}], {p_text(each.p, p)}'
        for (row, corruption), each, p in zip(pairs, found, holm([each.p for each in found]))
    ]
    return [
        *lines,
        f"differences: in points, 95 % intervals over videos and seeds; p by Holm's correction over these {len(pairs)} "
        'comparisons (in brackets: not corrected)',
    ]
