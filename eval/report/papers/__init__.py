"""Published results as records, to stand beside ours in tables and figures. Standard library alone.

`severe.json` and `localization.json` hold a table of a paper under each name: its source, columns, and a row an encoder
with one value a column (null where the paper has none). `others` of a row are further metrics, by the number of the
column. `or` of a column says what changes where it stands in the column of another protocol of ours. Percent from 0 to
100, repetition counting as a ratio, as printed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from eval.records import Record, RecordError, identity_hash
from sigma.errors import did_you_mean

FILES = [Path(__file__).with_name(f'{name}.json') for name in ('severe', 'localization')]


def paper_tables() -> dict[str, str]:
    """Name of each table -> the paper it is from, in the order of the files."""
    return {name: table['source'] for name, table in _tables().items()}


def read_paper(table: str, wanted: tuple = ()) -> list[Record]:
    """The numbers of a table as records (`published` true), row by row.

    Counts stand in the column of our own head, or of cycle localisation where that is among the `wanted` columns
    (protocol, dataset, subset), such as those of a `Summary`.

    They name what the paper names: dataset, kind of subset, metric and source; protocol version, list, seed,
    selection and run are None, and not held against them in a column (`eval.records.differences`).

    Raises:
        RecordError: on an unknown table, with the nearest name.
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


def _column(column: dict, wanted: tuple) -> dict:
    """The column, or what it also may be where that is wanted."""
    other = column | column.get('or', {})
    return other if (other['protocol'], other['dataset'], other['subset']) in wanted else column


def _record(name: str, table: dict, row: dict, number: int) -> Record:
    """The record of a row in the column of that number."""
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
        notes=[*table['notes'], *(part['note'] for part in (column, row) if part.get('note'))],
    )
