"""The result layout of mteb: <encoder>/<revision>/<task>.json with scores from 0 to 1, and model_meta.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.metrics import METRICS
from eval.records import Record
from eval.report.exports import ExportError, as_share, finite, measured_rows, refuse_nothing
from sigma.files import write_atomic
from sigma.text import plain_name

if TYPE_CHECKING:
    from eval.report.table import Column, Table, TableCell

# What mteb writes where a model has no revision.
NO_REVISION = 'no_revision_available'
MODEL_META = 'model_meta.json'


def export(table: Table, out: Path) -> list[Path]:
    """Write one JSON per encoder and column under the folder `out`, as mteb's `TaskResult` reads it.

    A revision is the sha256 of the weights. A task is a column (`finetune_toy_5-a-class`). `main_score` is the mean
    over seeds, from 0 to 1 where higher is better: an error that is a ratio enters as 1 - error. The metric itself
    stands beside it under its own name; `scores_per_experiment` has the seeds. Numbers from papers are left out.

    Raises:
        ExportError: if the table has no measured number, or `out` is a file.

    Source: `mteb/results/task_result.py` and `mteb/cache/result_cache.py` of mteb 2.26.
    """
    refuse_nothing(table)
    if out.is_file():
        raise ExportError(f'--out {out} is a file; mteb needs a folder')
    files: dict[Path, dict] = {}
    for row in measured_rows(table):
        for column in table.measured:
            cell = column.cells.get(row)
            if cell is None or cell.published:
                continue
            revision = cell.records[0].get('encoder.sha256') or NO_REVISION
            folder = out / plain_name(row, 'encoder') / revision
            files[folder / f'{task_name(column)}.json'] = task_result(column, cell)
            files[folder / MODEL_META] = model_meta(row, revision, cell.records[0])
    return [write_atomic(path, json.dumps(content, indent=2) + '\n') for path, content in files.items()]


def task_name(column: Column) -> str:
    """`finetune_toy_5-a-class`."""
    return plain_name('_'.join(part for part in column.key if part), 'task')


def task_result(column: Column, cell: TableCell) -> dict[str, Any]:
    """One cell as mteb's `TaskResult`."""
    mean, low, high = (finite(value) for value in cell.interval[:3])
    assert mean is not None
    ends = [None if end is None else as_share(column, end) for end in (low, high)]
    if not column.higher_is_better:
        ends.reverse()
    scores = {
        'hf_subset': 'default',
        'languages': ['eng-Latn'],  # what mteb writes for tasks without text
        'main_score': as_share(column, mean),
        column.metric: mean / 100 if column.unit == 'percent' else mean,
        'ci_low': ends[0],
        'ci_high': ends[1],
        'num_videos': cell.interval.num_videos,
        'scores_per_experiment': [_of_seed(column, record) for record in cell.records],
    }
    return {
        'dataset_revision': cell.records[0].dataset['list_sha256'],
        'task_name': task_name(column),
        'mteb_version': None,
        'scores': {cell.records[0].dataset['split']: [scores]},
        'evaluation_time': sum(record.run['seconds'] for record in cell.records),
        'kg_co2_emissions': None,
        'date': max(record.run['started'] for record in cell.records),
    }


def _of_seed(column: Column, record: Record) -> dict[str, Any]:
    """Scores of one seed: its metrics under their own names, percent by 100."""
    found: dict[str, Any] = {'seed': record.seed, 'main_score': as_share(column, record.score['value'])}
    for name, value in {column.metric: record.score['value'], **(record.score['others'] or {})}.items():
        unit = METRICS[name].unit if name in METRICS else column.unit if name == column.metric else ''
        found[name] = value / 100 if unit == 'percent' else value
    return found


def model_meta(row: str, revision: str, record: Record) -> dict[str, Any]:
    """What mteb's loader reads of a model, and where it came from."""
    return {
        'name': row,
        'revision': revision,
        'modalities': ['video'],
        'framework': ['PyTorch'],
        'training_datasets': record.get('encoder.pretraining_data'),
        'reference': record.get('encoder.source'),
    }
