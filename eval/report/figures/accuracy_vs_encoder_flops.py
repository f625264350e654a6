"""Score against the operations of the encoder: every encoder as a point, one panel per column of the table."""

from __future__ import annotations

from matplotlib.figure import Figure

from eval.report.figures._costs import draw_costs
from eval.report.table import Table


def draw(table: Table, *, width: str = 'page') -> Figure:
    """What a better score costs in operations of one forward pass, as the records state them (`encoder.flops`).

    Whiskers are 95 % intervals. Sweeps over corruptions are left out. Encoders whose records do not state their
    operations are named in the caption; nothing is guessed.

    Args:
        table: The results.
        width: `page` or `column`.

    Raises:
        FigureError: if no record states them, or the width is unknown.
    """
    return draw_costs(
        table,
        'flops',
        'operations of a forward pass for one clip',
        'Score against the operations of one forward pass of the encoder (logarithmic; multiply and add count as two)',
        'run these cells again with this version, which writes them',
        width,
    )
