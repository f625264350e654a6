"""What a reader should know below a table or figure: units, chance, missing videos, sources of published numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from eval.metrics import METRICS
from eval.metrics.metric import UNIFORM
from eval.records import MIN_COVERAGE_PERCENT, predictions_path
from eval.report import INCOMPLETE, LEFT_OUT
from eval.report.statistics import POOLED
from sigma.architectures import backbone_label

if TYPE_CHECKING:
    from eval.records import Record
    from eval.report.formats.marks import Marks
    from eval.report.table import Table

ENOUGH_SEEDS = 3
COMMONEST = 'commonest class: what always giving the commonest answer of the test videos would score'


def footnotes(table: Table, interval: str = 'brackets', marks: Marks | None = None) -> list[str]:
    """All notes of a table, a sentence or two each; the first says units, seeds, intervals and chance.

    Args:
        table: The table.
        interval: How intervals are shown: `brackets`, `pm` or `none`.
        marks: Letters that stand beside published numbers, whose papers stand in headings; the notes then begin with
            the letters, and do not name the papers again.
    """
    chance = chance_note(table)
    notes = [f'{_units(table)}, {_how(table, interval)}' + (f'; chance: {chance}' if chance else '')]
    if any(column.is_unbalanced for column in table.columns):
        notes.append(COMMONEST)
    notes += random_notes(table)
    if lost := lost_predictions(table):
        notes.append(f'intervals are less precise where predictions are missing beside the record: {"; ".join(lost)}')
    notes += seed_notes(table)
    if incomplete := partial_notes(table, left_out=False):
        notes.append(f'{INCOMPLETE} not all videos were scored: ' + '; '.join(incomplete))
    if left_out := partial_notes(table, left_out=True):
        notes.append(
            f'{LEFT_OUT} fewer than {MIN_COVERAGE_PERCENT:.0f} % of the videos were scored, so the score counts in no '
            f'mean, best or comparison (--allow-partial counts it): {"; ".join(left_out)}'
        )
    notes += summary_notes(table)
    if table.unfilled:
        notes.append(f'not measured yet: {len(table.unfilled)} columns of the suite, {", ".join(table.unfilled)}')
    if marks is None:
        return notes + published_notes(table)
    return notes + [f'^{letter} {note}' for letter, note in marks.notes.items()]


def same_seeds(table: Table) -> int | None:
    """Seeds of every measured number, if it is the same for all; None if it differs, or nothing was measured."""
    counts = {len(cell.records) for cell in table.cells if not cell.published}
    return counts.pop() if len(counts) == 1 else None


def _how(table: Table, interval: str) -> str:
    """'mean over 3 seeds [95 % interval]'."""
    if all(cell.published for cell in table.cells):
        return 'as published'
    num = same_seeds(table)
    said = 'mean over n seeds' if num is None else 'one seed (n=1)' if num == 1 else f'mean over {num} seeds (n={num})'
    return said + {'brackets': ' [95 % interval]', 'pm': ' ± the longer side of its 95 % interval'}.get(interval, '')


def random_notes(table: Table) -> list[str]:
    """What the rows with random weights are: 'random: tiny VideoViT, 16 x 64 x 64, random weights'."""
    found: dict[str, str] = {}
    for column in table.measured:
        for row, cell in column.cells.items():
            for record in cell.records:
                if not record.published and record.get('encoder.checkpoint') is None and row not in found:
                    found[row] = ', '.join([*_architecture(record), 'random weights, no pretraining'])
    alike: dict[str, list[str]] = {}
    for row, said in found.items():
        alike.setdefault(said, []).append(row)
    return [f'{_some(rows)}: {said}' for said, rows in alike.items()]


def _some(rows: list[str]) -> str:
    """Three names, and how many more there are."""
    return ', '.join(rows[:3]) + (f' and {len(rows) - 3} more' if len(rows) > 3 else '')


def _architecture(record: Record) -> list[str]:
    """Backbone and clips of a record's encoder, as far as the settings in its identity say them."""
    config = record.identity.get('config')
    backbones = [found for found in _under(config, 'backbone') if isinstance(found, dict) and 'type' in found]
    sizes = [size for key in ('image_size', 'blank_size') for size in _under(config, key) if isinstance(size, int)]
    shape = [record.get('sampling.num_frames'), *(sizes[:1] * 2)]
    clips = f'clips of {" x ".join(map(str, shape))}' if shape[0] and sizes else ''
    return [part for part in (*map(backbone_label, backbones[:1]), clips) if part]


def _under(config: object, key: str) -> Iterator[object]:
    """Every value under a key of nested settings, the outer ones first."""
    if isinstance(config, dict):
        if key in config:
            yield config[key]
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from _under(value, key)


def seed_notes(table: Table) -> list[str]:
    """What intervals of few seeds rest on, and how many seeds there should be."""
    counts = {len(cell.records) for cell in table.cells if not cell.published}
    notes = []
    if 1 in counts:
        notes.append('n=1: the interval covers the choice of test videos, not the choice of seed')
    if any(POOLED in cell.interval.how for cell in table.cells):
        notes.append('n=2 or 3: the spread of seeds is pooled over the cells of a protocol')
    if counts and min(counts) < ENOUGH_SEEDS:
        notes.append('fewer than three seeds say little about others: run three (--seeds 0 1 2)')
    return notes


def _units(table: Table) -> str:
    """'top-1 accuracy in percent'; 'scores in percent, count error as a ratio (lower is better)'."""
    others = dict.fromkeys(
        f'{c.metric_label} {"in percent" if c.unit == "percent" else f"as a {c.unit}"}'
        + ('' if c.higher_is_better else ' (lower is better)')
        for c in table.measured
        if c.unit != 'percent' or not c.higher_is_better
    )
    plain = dict.fromkeys(c.metric_label for c in table.measured if c.unit == 'percent' and c.higher_is_better)
    label = [f'{next(iter(plain)) if len(plain) == 1 else "scores"} in percent'] if plain else []
    return ', '.join([*label, *others])


def chance_note(table: Table) -> str:
    """What chance is in these columns: 'a uniform guess', and what else it is for metrics other than accuracy."""
    found: dict[str, str] = {}
    for column in table.measured:
        if column.chance is not None:
            found.setdefault(METRICS[column.metric].chance_label, column.metric_label)
    plain = [text for text in found if text == UNIFORM or len(found) == 1]
    return ', '.join(plain + [f'of {label} {text}' for text, label in found.items() if text not in plain])


def partial_notes(table: Table, left_out: bool) -> list[str]:
    """For each cell with unscored videos, how many: 'a in finetune / toy lacks 1 of 200 (seed 0)'.

    Args:
        table: The table.
        left_out: True for the cells that are in no mean, with the reason of their first video; False for the others.
    """
    notes = []
    for column in table.measured:
        for row, cell in column.cells.items():
            if cell.left_out != left_out:
                continue
            lacking = [record for record in cell.records if record.get('dataset.unscored')]
            each = [f'{len(r.dataset["unscored"])} of {r.dataset["num_listed"]} (seed {r.seed})' for r in lacking]
            if each:
                first = lacking[0].dataset['unscored'][0]
                why = f', first {first["video"]}: {first["reason"]}' if left_out else ''
                notes.append(f'{row} in {column.name} lacks {", ".join(each)}{why}')
    return notes


def lost_predictions(table: Table) -> list[str]:
    """Cells whose record was written with predictions that are gone now: 'a in finetune / toy'."""
    return [
        f'{row} in {column.name}'
        for column in table.measured
        for row, cell in column.cells.items()
        if any(r.path and r.predictions_sha256 and not predictions_path(r.path).exists() for r in cell.records)
    ]


def summary_notes(table: Table) -> list[str]:
    """What a mean is made of, and what rows without one lack."""
    notes = []
    for mean in (column for column in table.columns if column.is_summary):
        has_interval = any(math.isfinite(cell.interval.low) for cell in mean.cells.values())
        notes.append(
            f'{mean.name}: mean of percentages, where an error counts as 100 (1 - error)'
            + '; its interval treats the errors of the columns as independent' * has_interval
        )
        by_lack: dict[tuple[str, ...], list[str]] = {}
        for row, names in mean.lacks.items():
            by_lack.setdefault(tuple(names), []).append(row)
        for missing, rows in by_lack.items():
            notes.append(f'no {mean.name} for {_some(rows)}: missing {"; ".join(missing)}')
    return notes


def published_notes(table: Table) -> list[str]:
    """Where published numbers come from, and what to keep in mind when comparing with them."""
    records = [record for cell in table.cells if cell.published for record in cell.records]
    sources = dict.fromkeys(record.encoder['source'] for record in records)
    said = dict.fromkeys(note for record in records for note in record.notes)
    return [f'published: {"; ".join(sources)}', *said] if records else []
