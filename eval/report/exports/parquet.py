"""Parquet: one row per record with a column per key, and beside it the table with its intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.records import SCHEMA, SECTIONS
from eval.report.exports import ExportError, need_package
from eval.report.formats import frame
from sigma.files import atomic_path

if TYPE_CHECKING:
    from eval.report.table import Table

KEYS = [key for key in SCHEMA if key not in SECTIONS]


def export(table: Table, out: Path) -> list[Path]:
    """Write `out` (`.parquet`) and, beside it, `<name>.table.parquet`.

    `out` has one row per record, numbers from papers included, and one column per key of `eval.records.SCHEMA`
    (`score.value`, `dataset.name`, ...). Dicts and lists are JSON in a string. The other file is
    `eval.report.formats.frame`: one row per cell of the table.

    Raises:
        ExportError: if pyarrow is missing, or the file does not end in .parquet.
    """
    need_package('pyarrow', f'--out {out}')
    if out.suffix != '.parquet':
        raise ExportError(f'--out is {out}; Parquet needs a file that ends in .parquet')
    import pyarrow
    import pyarrow.parquet

    arrow = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(key, arrow.get(SCHEMA[key][0][0], pyarrow.string())) for key in KEYS])
    lines = [{key: _entry(record.get(key)) for key in KEYS} for record in table.records]
    beside = out.with_name(f'{out.stem}.table.parquet')
    with atomic_path(beside) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame(table), preserve_index=False), temporary)
    with atomic_path(out) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(lines, schema), temporary)
    return [out, beside]


def _entry(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
