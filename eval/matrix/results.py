"""The table of a run: printed, and written to the work directory under the name of the suite."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from eval.matrix.ending import record_of
from eval.matrix.plan import Planned
from eval.report.formats import Look, csv, markdown, text
from eval.report.metrics import under_metric
from eval.report.summaries import SUMMARIES, is_card
from eval.report.sweeps import is_sweep, report
from eval.report.table import BASELINE, Table, select
from eval.report.verdicts import comparison
from sigma.files import write_atomic
from sigma.text import terminal_width


def print_results(
    planned: Sequence[Planned],
    work_dir: str | Path,
    name: str,
    summary: str | None = None,
    baseline: str | None = None,
    allow_partial: bool = False,
    metric: str | None = None,
) -> None:
    """Print the table and the comparisons of these cells' records, and write them to `NAME.table.md` and `.csv`.

    Args:
        planned: Cells of the suite.
        work_dir: Where their records are and the files go.
        name: Stem of the files (`table_name`).
        summary: Suite whose groups the columns have, and whose mean is added as the last column; None for neither.
        baseline: Encoder to compare the others with, as on the command line.
        allow_partial: As in `Table`.
        metric: Show this metric where records have the labels for it; None: each its own.
    """
    records = [record for item in planned if (record := record_of(item, work_dir)) is not None]
    if not records:
        print('no records yet, so no table')
        return
    suite = summary if summary and is_card(summary) else None
    records = select(records, suite=suite, first=[item.resolved.encoder.name for item in planned if item.resolved])
    records = under_metric(records, metric) if metric else records
    table = Table(
        records, allow_partial=allow_partial, summary=SUMMARIES.get(summary) if summary else None, suite=suite
    )
    print(text(table, Look(width=terminal_width())))
    # --baseline may be a path or NAME@CHECKPOINT, as in --encoders; rows have the names of the cards.
    names = {item.resolved.cell.encoder: item.resolved.encoder.name for item in planned if item.resolved}
    chosen = names.get(baseline, baseline) if baseline else None
    for sentence in comparison(table, chosen):
        print(sentence)
    folder = Path(work_dir)
    write_atomic(folder / f'{name}.table.md', markdown(table))
    write_atomic(folder / f'{name}.table.csv', csv(table))
    if any(map(is_sweep, records)):
        robustness = report(table, chosen or BASELINE)
        print(robustness)
        write_atomic(folder / f'{name}.robustness.txt', robustness)
    print(f'records: {folder / "records"}; table: {folder / f"{name}.table.md"}, {folder / f"{name}.table.csv"}')


def table_name(suite: str, *parts: Sequence[object] | None) -> str:
    """Stem of the files of a suite, with what the command line changed in it: `own-clips-limit20`.

    Two commands that measure different columns in one work directory write different files; the same columns with
    other encoders or seeds are the same file.
    """
    words = [Path(suite).stem]
    for word in (str(word) for part in parts for word in part or ()):
        words.append(Path(word.rstrip('/')).stem if '/' in word else word)
    return '-'.join(re.sub(r'[^A-Za-z0-9_.=+]+', '_', word).strip('._') or '_' for word in words)[:120]
