"""Hugging Face `model-index`: one YAML per encoder, as the front matter of a model card holds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.metrics import METRICS
from eval.report.exports import ExportError, finite, measured_rows, need_package, plain, refuse_nothing
from sigma.files import write_atomic
from sigma.text import plain_name

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from eval.report.table import Column, Table, TableCell

# Kind of labels (eval/metrics) -> task of Hugging Face; localization and counting have no tag there.
TASKS = {
    'action_recognition': 'video-classification',
    'multi_label': 'video-classification',
    'robustness': 'video-classification',
    'repetition': 'repetition-counting',
    'localization': 'temporal-action-localization',
}
# Our metric -> that of the Hugging Face hub, where it has one.
METRIC_TYPES = {'top1': 'accuracy', 'top5': 'top_5_accuracy', 'mean_average_precision': 'mean_average_precision'}


def export(table: Table, out: Path) -> list[Path]:
    """Write `<out>/<encoder>.yaml` for each measured row.

    Raises:
        ExportError: if huggingface_hub is missing, the table has no measured number, or `out` is a file.
    """
    need_package('huggingface_hub', 'model-index')
    refuse_nothing(table)
    if out.is_file():
        raise ExportError(f'--out {out} is a file; model-index needs a folder')
    texts = {out / f'{plain_name(row, "encoder")}.yaml': front_matter(table, row) for row in measured_rows(table)}
    return [write_atomic(path, text) for path, text in texts.items()]


def front_matter(table: Table, row: str, **more: Any) -> str:
    """The YAML of one row, with further keys of `huggingface_hub.ModelCardData` (license, tags, datasets, ...)."""
    from huggingface_hub import ModelCardData

    results = [
        eval_result(column, cell)
        for column in table.measured
        if (cell := column.cells.get(row)) is not None and not cell.published
    ]
    return ModelCardData(model_name=row, eval_results=results, **more).to_yaml() + '\n'


def eval_result(column: Column, cell: TableCell) -> EvalResult:
    """One cell. The interval, seeds and videos stand under `args` of the metric."""
    from huggingface_hub import EvalResult

    record = cell.records[0]
    mean, low, high, num_seeds, num_videos, how = map(plain, cell.interval)
    task = METRICS[column.metric].task if column.metric in METRICS else ''
    kind = next((tag for start, tag in TASKS.items() if task.startswith(start)), 'other')
    return EvalResult(
        task_type=kind,
        task_name=f'{column.protocol} v{record.protocol["version"]}',
        dataset_type=column.dataset,
        dataset_name=column.label,
        dataset_config=column.subset,
        dataset_split=record.dataset['split'],
        dataset_revision=record.dataset['list_sha256'],
        metric_type=METRIC_TYPES.get(column.metric, column.metric),
        metric_name=f'{column.metric_label} ({column.unit})',
        metric_value=round(mean, 4),
        metric_args={
            'ci_95': [None if (end := finite(bound)) is None else round(end, 4) for bound in (low, high)],
            'interval': how,
            'num_seeds': num_seeds,
            'num_videos': num_videos,
        },
    )
