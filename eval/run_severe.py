"""Measure encoders: suite x encoders x seeds, one record a cell, and the table with intervals.

    python eval/run_severe.py --suite demo --encoders random sigma_mlp_toy --seeds 0 1 2 --work-dir work_dirs/demo

Encoders are names of cards in mmaction_configs/encoders, paths of cards, or NAME@CHECKPOINT for other weights under
the same card. Cells that have a record already are not run again: kill it anywhere, run the same command, and it
goes on. `--dry-run` prints the plan. Exit status 0 when every cell has its record, 1 when cells failed, 2 for bad
input.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--suite', required=True, help='list of protocol x dataset, see eval/suites.py')
    parser.add_argument('--encoders', nargs='+', required=True, metavar='NAME[@CHECKPOINT]')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--work-dir', required=True, help='records, features and logs go here')
    parser.add_argument('--datasets', nargs='+', help="cards or prepared folders in the place of the suite's own")
    parser.add_argument('--shots', nargs='+', type=int, help="clips a class in the place of the suite's own few-shot")
    parser.add_argument('--jobs', type=positive, help='cells at a time; default one a GPU, else one a core up to four')
    parser.add_argument('--dry-run', action='store_true', help='print the plan and what is there already')
    parser.add_argument('--baseline', default='random', help='encoder that the others are compared with')
    parser.add_argument('--allow-partial', action='store_true', help='also tabulate below 99 %% of the videos')
    return parser.parse_args(argv)


def positive(text: str) -> int:
    """A number of at least 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} was given; a number of at least 1 is needed')
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Plan, run what is missing, print the table."""
    args = parse_args(argv)
    from eval.executors import default_jobs, run_local
    from eval.matrix import plan
    from eval.suites import suite_entries

    entries = suite_entries(args.suite, args.datasets, args.shots)
    encoders, seeds = list(dict.fromkeys(args.encoders)), list(dict.fromkeys(args.seeds))
    planned = plan(entries, encoders, seeds, args.work_dir)
    refuse_equal_names(planned)
    jobs = args.jobs or default_jobs()
    print_plan(planned, jobs, every_cell=args.dry_run)
    if args.dry_run:
        return 0
    missing = [item.resolved for item in planned if not item.done]
    with CellProgress(len(planned), len(planned) - len(missing)) as progress:
        ended = run_local(missing, args.work_dir, jobs, progress.ended)
    failed = [end for end in ended if end.status != 0]
    for end in failed:
        print(f'failed: {end.resolved.name}: {end.reason} (log: {end.log})', file=sys.stderr)
    print_results(planned, args)
    return 1 if failed else 0


def refuse_equal_names(planned: list) -> None:
    """Two cells of one name would write one record.

    Raises:
        DataError: naming both.
    """
    from sigma.data.index import DataError

    seen: dict[str, object] = {}
    for item in planned:
        cell = item.resolved.cell
        other = seen.setdefault(item.resolved.name, cell)
        if other != cell:
            raise DataError(f'{other} and {cell} both give a record named {item.resolved.name}; rename one part.')


def print_plan(planned: list, jobs: int, every_cell: bool) -> None:
    """How many cells, how many are there, what the rest will take."""
    from eval.matrix import estimate_seconds

    done = sum(item.done for item in planned)
    seconds = estimate_seconds(planned, jobs)
    left = f', about {seconds / 60:.1f} min for the rest' if seconds else ''
    print(f'{len(planned)} cells, {done} have their record, {len(planned) - done} to run, {jobs} at a time{left}')
    for item in planned:
        state = 'done' if item.done else 'to run'
        if item.superseded:
            state += ' (a record of other weights or settings lies there; it will be moved to superseded/)'
        if every_cell or item.superseded:
            print(f'  {item.resolved.id[:8]}  {item.resolved.name}: {state}')


class CellProgress:
    """A bar over cells with time left on a terminal, a line a cell elsewhere."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.bar = Progress(
            TextColumn('cells'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('left'),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn('{task.description}'),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> 'CellProgress':
        self.bar.start()
        self.task = self.bar.add_task('', total=self.total, completed=self.done)
        return self

    def __exit__(self, *error) -> None:
        self.bar.stop()

    def ended(self, end) -> None:
        """One more."""
        self.done += 1
        word = 'ok' if end.status == 0 else 'FAILED'
        self.bar.update(self.task, advance=1, description=f'{end.resolved.name} {word}')
        if self.bar.disable:
            print(
                f'[{self.done}/{self.total}] {end.resolved.name}: {word}, {end.seconds:.0f} s',
                file=sys.stderr,
                flush=True,
            )


def print_results(planned: list, args: argparse.Namespace) -> None:
    """Table and verdicts of this matrix's records, printed and left in the work directory."""
    from eval.records import read_record, write_atomic
    from eval.tables import format_table, select, table_csv, verdict

    paths = [item.resolved.record_path(args.work_dir) for item in planned]
    records = [read_record(path) for path in paths if path.is_file()]
    ids = {item.resolved.id for item in planned}
    records = [record for record in records if record.cell['id'] in ids]
    if not records:
        return
    records = select(records)
    print(format_table(records, allow_partial=args.allow_partial))
    names = {item.resolved.cell.encoder: item.resolved.encoder.name for item in planned}
    baseline = names.get(args.baseline, args.baseline)
    if baseline in names.values():
        for found in verdict(records, baseline=baseline, allow_partial=args.allow_partial):
            print(found.sentence)
    folder = Path(args.work_dir)
    write_atomic(
        folder / 'table.md',
        format_table(records, style='markdown', allow_partial=args.allow_partial).encode(),
    )
    write_atomic(folder / 'table.csv', table_csv(records, allow_partial=args.allow_partial).encode())
    print(f'records: {folder / "records"}; table: {folder / "table.md"}, {folder / "table.csv"}')


def guarded() -> int:
    """`main` with bad input in one sentence."""
    from eval.records import RecordError

    try:
        return main()
    except KeyboardInterrupt:
        print('run_severe: interrupted; the same command goes on', file=sys.stderr)
        return 130
    except (ValueError, RecordError, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        print(f'run_severe: {" ".join(str(error).split())}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(guarded())
