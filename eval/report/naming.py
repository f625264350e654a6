"""Short names of columns and the groups that papers put them in, as tables, figures and the page show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.report.table import Column


def column_label(column: Column) -> str:
    """Short name of a column within its group, such as `GYM99 (1000)`."""
    return ' '.join(
        part for part in (column.dataset or column.protocol, column.subset and f'({column.subset})') if part
    )


def column_group(column: Column) -> str:
    """The group of a column, such as `domain shift`; '' for a summary."""
    return '' if column.is_summary else column.protocol.replace('_', ' ')
