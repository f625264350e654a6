"""The table in long form, as a pandas frame and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from eval.report.formats.layout import Look
    from eval.report.table import Column, Table, TableCell


def csv(table: Table, look: Look | None = None) -> str:
    """`frame` as CSV with four digits, for a spreadsheet or another program. `look` changes nothing."""
    return frame(table).to_csv(index=False, float_format='%.4f', lineterminator='\n')


def frame(table: Table) -> pd.DataFrame:
    """The table in long form: one line for each row and column.

    Columns: encoder, protocol, dataset, subset, metric, unit; mean, low and high (95 %) in that unit; n (seeds),
    coverage (percent), num_videos, chance, commonest (score of the commonest class, where known); group and label of
    the column, as in other formats; source of a published number; `interval`, how it was computed; `in_means`, False
    where too few videos were scored. A row that has no mean over a suite says in `interval` what it lacks.
    """
    import pandas as pd

    lines = [
        {**_where(column, row), **_numbers(cell), 'num_videos': cell.interval.num_videos}
        | {'chance': column.chance, 'commonest': column.commonest}
        | {'group': column.group, 'label': column.label, 'source': _source(cell)}
        | {'interval': cell.interval.how, 'in_means': not cell.left_out}
        for column in table.columns
        for row, cell in column.cells.items()
    ]
    lines += [
        # n and num_videos are given too: a gap would turn columns of whole numbers into floats.
        _where(column, row)
        | {'n': 0, 'num_videos': 0, 'label': column.label, 'interval': f'lacks {"; ".join(names)}', 'in_means': False}
        for column in table.columns
        for row, names in column.lacks.items()
    ]
    return pd.DataFrame(lines)


def _where(column: Column, row: str) -> dict[str, object]:
    return {
        'encoder': row,
        'protocol': column.protocol,
        'dataset': column.dataset,
        'subset': column.subset or ('' if column.is_summary else 'all'),
        'metric': column.metric,
        'unit': column.unit,
    }


def _numbers(cell: TableCell) -> dict[str, object]:
    mean, low, high, num_seeds, *_ = cell.interval
    return {'mean': mean, 'low': low, 'high': high, 'n': num_seeds, 'coverage': cell.coverage}


def _source(cell: TableCell) -> str:
    """Papers that a published number is from; '' for a measured one."""
    return '; '.join(dict.fromkeys(record.encoder['source'] for record in cell.records)) if cell.published else ''
