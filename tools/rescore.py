"""Recompute every record's metrics from its predictions, and compare. Needs no GPU, no torch and no data.

    python tools/rescore.py work_dirs/severe
    python tools/rescore.py work_dirs/severe --metric mean_class_prefix --write

Prints one line for each metric of each record: stored, recomputed, and whether they agree. `--metric` adds metrics that
records do not store; it skips records with another kind of labels. `mean_class_prefix` reproduces a defect of a
published evaluation (eval/metrics/classification.py) and is not a result. Records never change: `--write` saves the
lines to WORKDIR/rescored.csv. Exit status: 0 if all agree; 1 if a number differs, or if predictions are missing,
damaged or not those of their record, or a record cannot be read; 2 for bad input.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import NamedTuple

from eval.metrics import (
    METRICS,
    checked_predictions,
    get_metric,
    rescore_tolerance,
    score_predictions,
)
from eval.records import Record, RecordError, readable_records
from sigma.commands import Parser, add_version, end_with, told_faults
from sigma.files import write_atomic
from sigma.text import align

# A metric of a user's own protocol, which cannot be computed here.
UNKNOWN = 'not a metric of eval/metrics'


class Line(NamedTuple):
    """One metric of one record; the numbers are in the unit of the metric."""

    record: str
    metric: str
    stored: float | None
    recomputed: float | None
    unit: str
    state: str  # same, new, DIFFERS, UNKNOWN, or why it could not be computed

    @property
    def bad(self) -> bool:
        """Whether the stored number is wrong or cannot be checked."""
        return self.state not in ('same', 'new', UNKNOWN)


def main(argv: list[str] | None = None) -> int:
    """Read, recompute, print, write; returns the exit status."""
    args = parse(argv)
    try:
        asked = list(dict.fromkeys(args.metric))
        for name in asked:
            get_metric(name)
        if args.write and Path(args.work_dir).is_file():
            raise ValueError(f'--write needs a work directory, but {args.work_dir} is a file')
        found, faults = readable_records(args.work_dir)
        records = [record for record in found if not record.published]
        lines = [line for record in records for line in rescore(record, asked)]
        refuse_unused(asked, lines)
        print_lines(lines, len(records))
        if args.write:
            path = write_atomic(Path(args.work_dir) / 'rescored.csv', to_csv(lines).encode())
            print(f'{path}: {len(lines)} lines; records are unchanged')
    except (RecordError, ValueError) as error:
        print(f'rescore: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        print(f'rescore: {error.filename}: {error.strerror}', file=sys.stderr)
        return 2
    return told_faults('rescore', faults) or int(any(line.bad for line in lines))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(prog='rescore', description=__doc__)
    add_version(parser)
    parser.add_argument('work_dir', metavar='WORKDIR', help='work directory of eval/run_severe.py')
    parser.add_argument(
        '--metric', nargs='+', default=[], metavar='NAME', help=f'metrics to add, from: {", ".join(METRICS)}'
    )
    parser.add_argument('--write', action='store_true', help='save the lines to WORKDIR/rescored.csv')
    return parser.parse_args(argv)


def rescore(record: Record, asked: list[str]) -> list[Line]:
    """Lines of a record: the metrics that it stores, then the others that were asked for."""
    stored = {record.score['metric']: record.score['value'], **(record.score['others'] or {})}
    known = [name for name in stored if name in METRICS]
    tasks = {METRICS[name].task for name in known}
    wanted = known + [name for name in asked if name not in stored and METRICS[name].task in tasks]
    try:
        predictions = checked_predictions(record)
    except ValueError as error:
        return [
            Line(record.name, record.score['metric'], record.score['value'], None, record.score['unit'], str(error))
        ]
    lines = [Line(record.name, name, stored[name], None, '', UNKNOWN) for name in stored if name not in METRICS]
    for name in wanted:
        value, unit = float(score_predictions(predictions, name)), METRICS[name].unit
        state = 'new'
        if name in stored:
            state = 'same' if abs(value - stored[name]) <= rescore_tolerance(name) else 'DIFFERS'
        lines.append(Line(record.name, name, stored.get(name), value, unit, state))
    return lines


def refuse_unused(asked: list[str], lines: list[Line]) -> None:
    """Refuse a metric that fits no record: it was asked for by mistake.

    Raises:
        ValueError: naming the metric.
    """
    for name in asked:
        if lines and not any(line.metric == name for line in lines):
            raise ValueError(f'no record has the {METRICS[name].task} labels that {name} needs')


def print_lines(lines: list[Line], num_records: int) -> None:
    """Print the lines as a table, a note on each metric that records do not store, and a count."""
    grid = [('record', 'metric', 'stored', 'recomputed', '')]
    grid += [(x.record, x.metric, _text(x.stored), _text(x.recomputed), x.state) for x in lines]
    print(align(grid))
    for name in dict.fromkeys(line.metric for line in lines if line.metric in METRICS):
        if not METRICS[name].stored:
            print(f'{name}: {METRICS[name].label}')
    bad = sum(line.bad for line in lines)
    unknown = sum(line.state == UNKNOWN for line in lines)
    said = f'{bad} do not agree' if bad else 'all agree'
    print(f'{len(lines)} numbers of {num_records} records: {said}' + (f', {unknown} not computed' if unknown else ''))


def _text(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'


def to_csv(lines: list[Line]) -> str:
    """The lines as CSV with all digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(Line._fields)
    writer.writerows(lines)
    return buffer.getvalue()


if __name__ == '__main__':
    end_with(main)
