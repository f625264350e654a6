"""Results in the formats of other tools: one file per format, found by walking this folder. No torch.

Each file has `export(table, out) -> list[Path]`: it writes an `eval.report.table.Table` to `out`, each file whole or
not at all, and returns the paths. Its docstring starts with a sentence on the format.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigma.configs import walk_sentences
from sigma.errors import SigmaError, did_you_mean

if TYPE_CHECKING:
    from eval.report.table import Column, Table


class ExportError(SigmaError):
    """A format that is unknown, or that cannot be written."""


def all_exports() -> dict[str, str]:
    """Name (as on the command line, such as `model-index`) and sentence of every format. Nothing is imported."""
    return {name.replace('_', '-'): sentence for name, sentence in sorted(walk_sentences(Path(__file__).parent))}


def load_export(name: str) -> Callable[[Table, Path], list[Path]]:
    """The `export` of a format.

    Raises:
        ExportError: if there is none of that name (with the nearest one).
    """
    module = name.replace('-', '_')
    if module not in {found.name for found in pkgutil.iter_modules(__path__)}:
        raise ExportError(did_you_mean('format', name, all_exports()))
    return importlib.import_module(f'{__name__}.{module}').export


def need_package(package: str, what: str) -> None:
    """Refuse if a package is missing.

    Raises:
        ExportError: naming the package and the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise ExportError(f'{what} needs the package {package}, which is not installed: pip install {package}')


def refuse_nothing(table: Table) -> None:
    """Refuse a table without measured numbers.

    Raises:
        ExportError: if all its numbers come from papers.
    """
    if not measured_rows(table):
        raise ExportError('there is nothing to export: all numbers of the table come from papers')


def measured_rows(table: Table) -> list[str]:
    """Rows with a number that was measured here."""
    found = {row for column in table.measured for row, cell in column.cells.items() if not cell.published}
    return [row for row in table.rows if row in found]


def as_share(column: Column, value: float) -> float:
    """A score from 0 to 1 where higher is better: percent by 100, an error that is a ratio as 1 - error."""
    share = value / 100 if column.unit == 'percent' else value
    return share if column.higher_is_better else 1 - share


def finite(value: float) -> float | None:
    """The number, or None for NaN, which JSON and YAML lack."""
    return value if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """A numpy number as one of Python."""
    return value.item() if hasattr(value, 'item') else value
