"""The data behind the results table that a browser reads: columns, cells and records as one JSON document. No torch.

columns   as shown: name, metric, unit, classes, the settings that its first record has
cells     {cell id: score, interval, seeds, scores by class, confusions, records}
records   what each says about itself, changes from its recipe, end of its log, learning curves, command
labels    the order and the words in which a record is shown
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eval.metrics import METRICS
from eval.records import Record, config_path, coverage, find_log, predictions_path
from eval.report.page import settings
from eval.report.page.classes import names_and_counts, per_class
from eval.report.page.matrix import interval_text
from eval.report.page.parts import cell_id
from eval.report.page.places import cell_folder, command_of, log_tail
from eval.report.table import Column, Table, TableCell
from sigma.text import sentence

# Quantity -> (steps, values) of a run, as `sigma.figures.pretraining.read_curves` gives it for a folder.
Curves = Callable[[Path], dict[str, tuple[list[int], list[float]]]]
MOST_CURVES = 6
MOST_POINTS = 80
MOST_UNSCORED = 10
# Logs and settings together; a page of many records would otherwise weigh more than its numbers.
MOST_BYTES_OF_EXTRAS = 4_000_000

# Section -> {key of a record: words}
LABELS: dict[str, dict[str, str]] = {
    'Data': {
        'dataset.name': 'dataset',
        'dataset.split': 'split',
        'scored': 'videos scored',
        'dataset.list_sha256': 'hash of the list',
        'dataset.num_train': 'training videos',
        'dataset.num_train_skipped': 'training videos skipped',
        'dataset.train_list_sha256': 'hash of the training list',
        'subset.name': 'subset',
        'subset.seed': 'seed of the draw',
        'subset.sha256': 'hash of the subset',
        'readers': 'read by',
    },
    'Encoder': {
        'encoder.name': 'encoder',
        'encoder.checkpoint': 'weights',
        'encoder.sha256': 'hash of the weights',
        'encoder.pretraining_data': 'pretrained on',
        'encoder.source': 'source',
    },
    'Protocol': {
        'protocol.name': 'protocol',
        'protocol.version': 'version',
        'protocol.evaluator_version': 'version of the scoring',
        'protocol.source': 'source',
    },
    'Training and test': {
        'recipe.name': 'recipe',
        'selection.epoch': 'epoch scored',
        'selection.steps': 'optimizer steps',
        'selection.how': 'epoch chosen',
        'sampling.name': 'sampling',
        'sampling.num_frames': 'frames per clip',
        'sampling.stride_frames': 'stride in frames',
        'sampling.clip_fps': 'frames per second',
        'sampling.views': 'views (time x space)',
        'config_sha256': 'hash of the config',
    },
    'Run': {
        'run.started': 'started',
        'run.seconds': 'seconds',
        'run.device': 'device',
        'run.num_processes': 'processes',
        'run.batch_size': 'clips per step',
        'run.commit': 'commit',
        'packages': 'versions',
    },
    'Files': {
        'path': 'record',
        'predictions': 'predictions',
        'predictions_sha256': 'hash of the predictions',
        'config': 'config',
        'cell.id': 'identity',
    },
}


def document(table: Table, columns: Sequence[Column], curves: Curves | None = None) -> dict[str, Any]:
    """The document.

    Args:
        table: The results.
        columns: In the order of the page.
        curves: Reads the learning curves in a folder; None: no curves.
    """
    records: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    bases: dict[str, dict[str, str]] = {}
    for column in columns:
        for cell in column.cells.values():
            for record in cell.records:
                if record.cell['id'] not in numbers:
                    numbers[record.cell['id']] = len(records)
                    base = bases.setdefault(column.name, settings.resolved(record))
                    records.append(_record(record, base, curves))
    _trim(records)
    cells = {}
    for column in columns:
        for row, cell in column.cells.items():
            cells[cell_id(row, column.name)] = _cell(table, column, row, cell, numbers)
    return {
        'labels': LABELS,
        'columns': [_column(table, column, bases.get(column.name, {})) for column in columns],
        'cells': cells,
        'records': records,
    }


def as_script(value: Any) -> str:
    """JSON for a `<script type="application/json">`: no character in it can end the script or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(',', ':'), allow_nan=False)
    return text.replace('&', '\\u0026').replace('<', '\\u003c').replace('>', '\\u003e')


def _column(table: Table, column: Column, base: dict[str, str]) -> dict[str, Any]:
    return {
        'name': column.name,
        'label': column.label,
        'group': column.group,
        'protocol': column.protocol,
        'dataset': column.dataset,
        'mean': column.is_summary,
        'metric': column.metric_label,
        'unit': column.unit,
        'higher': column.higher_is_better,
        'chance': None if column.chance is None else column.text(column.chance),
        'commonest': column.text(column.commonest) if column.is_unbalanced and column.commonest is not None else None,
        'classes': names_and_counts(table, column),
        'settings': base,
    }


def _cell(table: Table, column: Column, row: str, cell: TableCell, numbers: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {
        'row': row,
        'column': column.name,
        'value': column.text(cell.interval.mean),
        'mean': round(cell.interval.mean, 6),
        'interval': interval_text(column, cell),
        'how': cell.interval.how,
        'seeds': cell.num_seeds,
        'published': cell.published,
        'left_out': cell.left_out,
        'coverage': round(cell.coverage, 2),
        'records': list(dict.fromkeys(numbers[record.cell['id']] for record in cell.records)),
    }
    if cell.parts:
        found['parts'] = [cell_id(row, part.name) for part in table.measured if part.cells.get(row) in cell.parts]
        return found
    if (each := per_class(table, column, cell)) is not None:
        found |= {'classes': each.scores, 'confusions': each.confusions, 'matrix': each.matrix}
    return found


def _record(record: Record, base: dict[str, str], curves: Curves | None) -> dict[str, Any]:
    own = settings.resolved(record)
    facts = {key: value for part in LABELS.values() for key in part if (value := _fact(record, key)) is not None}
    return {
        'name': record.name,
        'seed': record.seed,
        'published': record.published,
        'scores': [_score(name, value) for name, value in _scores(record).items()],
        'facts': facts,
        'changes': settings.from_recipe(record),
        'settings': settings.against(base, own) if own and base else None,
        'unscored': [[e['video'], e['reason']] for e in (record.get('dataset.unscored') or [])[:MOST_UNSCORED]],
        'notes': list(record.notes),
        'command': command_of(record),
        **_run(record, curves),
    }


def _scores(record: Record) -> dict[str, float]:
    others = {name: value for name, value in (record.score.get('others') or {}).items() if math.isfinite(value)}
    return {record.score['metric']: record.score['value'], **others}


def _score(name: str, value: float) -> list[str]:
    """[what it is called, the number with its digits]"""
    metric = METRICS.get(name)
    digits = 3 if metric is not None and metric.unit == 'ratio' else 2
    return [metric.label if metric is not None else name.replace('_', ' '), f'{value:.{digits}f}']


def _fact(record: Record, key: str) -> str | int | float | None:
    """One line of a record's description; None where it says nothing."""
    if key == 'scored':
        share = coverage(record)
        if share is None:
            return None
        return f'{record.dataset["num_scored"]} of {record.dataset["num_listed"]} ({share:.1f} %)'
    if key == 'readers':
        return ', '.join(f'{reader}: {num}' for reader, num in (record.get('dataset.readers') or {}).items()) or None
    if key == 'packages':
        return ', '.join(f'{name} {version}' for name, version in (record.get('run.packages') or {}).items()) or None
    if key == 'path':
        return str(record.path) if record.path else None
    if key in ('predictions', 'config'):
        beside = {'predictions': predictions_path, 'config': config_path}[key]
        return str(beside(record.path)) if record.path and beside(record.path).is_file() else None
    value = record.get(key)
    if key == 'run.seconds' and value is not None:
        return round(value, 1)
    if key == 'run.commit' and value is not None and record.get('run.clean') is False:
        return f'{value} (with changes)'
    if key == 'encoder.checkpoint' and value is None and not record.published:
        return 'random weights'
    return value


def _run(record: Record, curves: Curves | None) -> dict[str, Any]:
    """The end of the log and the learning curves of a record's cell, where they are kept."""
    folder, path = (None, None) if record.published else (cell_folder(record), find_log(record))
    tail = None if path is None else log_tail(path)
    log = None if tail is None else {'path': str(path), 'tail': tail}
    found: dict[str, Any] = {}
    if folder is not None and curves is not None and (any(folder.glob('vis_data')) or any(folder.glob('*/vis_data'))):
        try:
            read = curves(folder)
            names = sorted(read, key=lambda name: (not name.startswith('loss'), name))[:MOST_CURVES]
            found = {name: points for name in names if (points := thinned(*read[name]))[0]}
        except Exception as error:  # a log cut off by a kill must not stop a report
            log = log or {'path': str(folder), 'tail': sentence(f'its curves cannot be read: {error}')}
    return {'log': log, 'curves': found}


def thinned(steps: list[int], values: list[float]) -> list[list]:
    """[steps, values] of a curve with at most `MOST_POINTS` points, each the mean of its neighbours; no NaN."""
    pairs = [(step, value) for step, value in zip(steps, values) if math.isfinite(value)]
    size = max(1, math.ceil(len(pairs) / MOST_POINTS))
    groups = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    return [
        [group[-1][0] for group in groups],
        [float(f'{sum(value for _, value in group) / len(group):.4g}') for group in groups],
    ]


def _trim(records: list[dict[str, Any]]) -> None:
    """Leave out the ends of logs, and then settings, where all of them together would be too heavy."""
    for key, instead in (('log', _without_tail), ('settings', lambda _: None)):
        sizes = [len(json.dumps(record[key])) for record in records]
        if sum(sizes) > MOST_BYTES_OF_EXTRAS / 2:
            for record in records:
                record[key] = instead(record[key])


def _without_tail(log: dict | None) -> dict | None:
    return log and {'path': log['path'], 'tail': 'left out to keep this page small'}
