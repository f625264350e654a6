"""Numbers from papers as records, to show beside ours in tables and figures. Standard library alone.

Each JSON file here maps names to tables of papers. A table has its source, its columns, and one row per encoder with
one value per column (null where the paper has none), as printed: percent from 0 to 100, errors of repetition counts as
ratios. `others` of a row holds further metrics by column number. `or` of a column says what changes when it is compared
with another of our protocols, and `not_measured` why no number of ours can stand in it yet: a note below tables says
so. A note that begins with `not comparable: ` keeps its numbers out of every ranking with ours. `provenance` says where
the transcription comes from.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from eval.records import Record, RecordError, identity_hash
from sigma.errors import did_you_mean

Key = tuple[str, str, str | None]  # of a column: protocol, dataset, kind of subset
FILES = sorted(Path(__file__).parent.glob('*.json'))


def paper_tables() -> dict[str, str]:
    """Name of each table -> the paper it is from, in the order of the files."""
    return {name: table['source'] for name, table in _tables().items()}


def read_paper(table: str, wanted: Collection[Key] = ()) -> list[Record]:
    """The numbers of a table as records (`published` true), row by row.

    Records hold what the paper says: dataset, kind of subset, metric and source. Protocol version, list, seed,
    selection and run are None, and do not count as differences within a column (`eval.records.differences`).

    Args:
        table: Its name, one of `paper_tables`.
        wanted: Columns that the numbers should fall into, such as those of a `Summary`. Repetition counts go to the
            column of our own counting head, or to cycle localisation if that is wanted.

    Raises:
        RecordError: if the table is unknown (with the nearest name).
    """
    if table not in _tables():
        raise RecordError(did_you_mean('published table', table, _tables()))
    found = _tables()[table]
    found = found | {'columns': [_column(column, wanted) for column in found['columns']]}
    return [
        _record(table, found, row, number)
        for row in found['rows']
        for number, value in zip(range(len(found['columns'])), row['values'], strict=True)
        if value is not None
    ]


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict]:
    return {name: table for file in FILES for name, table in json.loads(file.read_text(encoding='utf-8')).items()}


def _column(column: dict, wanted: Collection[Key]) -> dict:
    """The column, or its alternative if that is wanted."""
    other = column | column.get('or', {})
    return other if (other['protocol'], other['dataset'], other['subset']) in wanted else column


def _record(name: str, table: dict, row: dict, number: int) -> Record:
    """The record of one row in the column with that number."""
    column, others = table['columns'][number], row.get('others', {}).get(str(number))
    subset = column['subset']
    source = row.get('source', table['source'])
    identity = {
        'table': name,
        'source': source,
        'encoder': row['encoder'],
        **{key: column[key] for key in ('protocol', 'dataset', 'subset', 'metric')},
    }
    parts = (
        row['encoder'],
        column['protocol'],
        column['dataset'],
        (subset or '').replace('_', '-'),
        f'published-{name}',
    )
    return Record(
        cell={'id': identity_hash(identity), 'name': '_'.join(part for part in parts if part)},
        identity=identity,
        score={
            'metric': column['metric'],
            'value': float(row['values'][number]),
            'unit': column['unit'],
            'higher_is_better': column['higher_is_better'],
            **({'others': others} if others else {}),
        },
        dataset={'name': column['dataset'], 'num_classes': column['num_classes']},
        subset={'name': subset, 'seed': None, 'sha256': None} if subset else None,
        encoder={
            'name': row['encoder'],
            'checkpoint': None,
            'sha256': None,
            'pretraining_data': row['pretraining_data'],
            'source': source,
        },
        protocol={'name': column['protocol'], 'version': None},
        published=True,
        notes=[*table['notes'], *(part['note'] for part in (column, row) if part.get('note')), *_not_measured(column)],
    )


def _not_measured(column: dict) -> list[str]:
    """A sentence for a column in which no number of ours can stand."""
    reason = column.get('not_measured')
    return [f'{column["protocol"]} on {column["dataset"]}: not measured here yet, {reason}'] if reason else []
