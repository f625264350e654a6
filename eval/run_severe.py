"""Measure encoders: suite x encoders x seeds, one record per cell, and a table with intervals.

    python eval/run_severe.py --suite demo --encoders random sigma_mlp_toy --seeds 0 1 2 --work-dir work_dirs/demo

Encoders are files that describe themselves (the encoder.safetensors of a training), names or paths of cards, or
CARD@FILE for other weights under the same card; NAME=ENCODER names the row. Cells that have a record do not run again:
kill the command at any point, run it again, and it continues. Two such commands on one work directory share the cells.
If a cell measures the trained weights of another, it runs after that one; the plan adds the other cell if the suite
does not list it. A failed cell keeps its log and the reason, and runs again with `--retry-failed`. `--dry-run` prints
the plan: what is done, failed, blocked, running elsewhere or to run, what it will cost, and what is missing.

Exit status: 0 when every cell has its record (a dry run: when the plan can run), 1 when cells failed, were stopped or
blocked, 2 for bad input and missing data, before anything ran.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.cells.cell import CellProtocol
    from eval.matrix.executors.job import Finished
    from eval.matrix.executors.schedule import Backend
    from eval.matrix.plan import Plan, Planned


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--list',
        metavar='KIND',
        help='print every name with a sentence and exit: suites, encoders, datasets, recipes, protocols, corruptions, '
        'probes or figures',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='with --list recipes, datasets or encoders: also every key of such a file, with type, range and default',
    )
    parser.add_argument('--suite', metavar='NAME', help='suite to run (see --list suites), or the path of a suite card')
    parser.add_argument(
        '--encoders',
        nargs='+',
        metavar='ENCODER',
        help='FILE.safetensors, CARD or CARD@FILE (see --list encoders); NAME=ENCODER names its row',
    )
    parser.add_argument('--seeds', nargs='+', type=seed, default=[0], help='each is a cell of its own (default: 0)')
    parser.add_argument('--work-dir', help='records, features and logs go here')
    parser.add_argument('--datasets', nargs='+', help="dataset cards or prepared folders to use instead of the suite's")
    parser.add_argument(
        '--shots', nargs='+', type=positive, help="training clips per class, instead of the suite's few-shot numbers"
    )
    parser.add_argument(
        '--jobs', type=positive, help='cells run in parallel (default: one per GPU, else one per core, at most 4)'
    )
    parser.add_argument('--no-forks', action='store_true', help='start a new Python per cell; costs seconds each')
    parser.add_argument('--dry-run', action='store_true', help='print the plan and run nothing')
    parser.add_argument('--retry-failed', action='store_true', help='also run cells that failed before')
    parser.add_argument(
        '--import',
        dest='imports',
        nargs='+',
        default=[],
        metavar='MODULE',
        help='modules or .py files with your own protocols, corruptions or suites (entries of SUITES)',
    )
    parser.add_argument('--baseline', help='encoder to compare the others with (default: random, if it is there)')
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='let rows with under 99 %% of the videos count in means and verdicts',
    )
    add_executor_args(parser)
    args = parser.parse_args(argv)
    needed = {'--suite': args.suite, '--encoders': args.encoders, '--work-dir': args.work_dir}
    if lacking := [name for name, value in needed.items() if value is None and args.list is None]:
        parser.error(f'the following arguments are required: {", ".join(lacking)}')
    return args


def add_executor_args(parser: argparse.ArgumentParser) -> None:
    """Options that say where cells run."""
    group = parser.add_argument_group('where cells run')
    group.add_argument(
        '--executor',
        choices=('local', 'slurm', 'submitit-local'),
        default='local',
        help='this machine (default); SLURM through submitit; or the SLURM jobs on this machine, to try them out',
    )
    group.add_argument('--slurm-partition', help="default: the cluster's")
    group.add_argument(
        '--slurm-time',
        type=minutes,
        default='240',
        help='time limit of a cell, in minutes or H:MM:SS (default: 240); then it is requeued and continues',
    )
    group.add_argument('--slurm-array', type=positive, default=32, metavar='N', help='cells in parallel (default: 32)')
    group.add_argument('--slurm-gpus', type=int, default=1, help='GPUs per cell (default: 1)')
    group.add_argument('--slurm-cpus', type=positive, default=8, help='cores per cell (default: 8)')
    group.add_argument(
        '--slurm-options',
        nargs='+',
        type=key_value,
        default=[],
        metavar='KEY=VALUE',
        help='further submitit parameters, such as mem_gb=64 slurm_account=lab slurm_qos=low',
    )


def minutes(text: str) -> float:
    """Minutes, from a text of minutes or H:MM:SS; for argparse."""
    try:
        parts = [float(part) for part in text.split(':')]
    except ValueError:
        parts = []
    if len(parts) not in (1, 3) or min(parts) < 0 or not 0 < sum(parts) < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} was given; minutes or H:MM:SS is needed, such as 90 or 1:30:00')
    return parts[0] if len(parts) == 1 else sum(part * weight for part, weight in zip(parts, (60, 1, 1 / 60)))


def key_value(text: str) -> tuple[str, str | int]:
    """(key, value) from KEY=VALUE; whole numbers become int; for argparse."""
    key, equals, value = text.partition('=')
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f'{text!r} was given; KEY=VALUE is needed, such as mem_gb=64')
    return key, int(value) if value.isdigit() else value


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} was given; a number of at least 1 is needed')
    return int(text)


def seed(text: str) -> int:
    """A seed that every library accepts, for argparse."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f'{text} was given; a whole number from 0 to 2**32 - 1 is needed')
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Plan, run what is missing, print the table."""
    args = parse_args(argv)
    if args.list is not None:
        return print_list(args)
    from eval.matrix.executors.schedule import run
    from eval.matrix.live import Progress, print_encoders, print_plan
    from eval.matrix.plan import OPEN
    from eval.protocols import import_protocols

    imports = [str(Path(name).resolve()) if name.endswith('.py') else name for name in args.imports]
    import_protocols(imports)
    check_work_dir(args.work_dir)
    found = make_plan(args)
    jobs = num_at_once(args, found.max_parallel())
    print(headline(found, jobs))
    print_encoders(found)
    print_plan(found, every_cell=args.dry_run)
    if found.problems:
        refuse(found.problems)
    if args.dry_run:
        return 0
    tasks = found.jobs(args.work_dir, imports)
    protocols = [item.resolved.protocol for item in found.in_state(*OPEN) if item.resolved]
    backend = make_backend(args, jobs, protocols) if tasks else None
    check_work_dir(args.work_dir, make=True)
    results = []
    try:
        if backend is not None:
            with Progress(found, jobs) as progress:
                results = run(tasks, backend, progress)
        print_results(found.listed(), args)
    except OSError as error:  # a full disk, or a file system that is unavailable
        what = f'{error.strerror or error} ({error.filename or args.work_dir})'
        print(
            f'run_severe: {what}; finished cells keep their records; run the same command to continue', file=sys.stderr
        )
        return 1
    return print_unfinished(found, results)


def print_list(args: argparse.Namespace) -> int:
    """Print what `--list` asks for, including what `--import` adds; return the exit status."""
    from eval.matrix.listing import listing

    if args.imports:
        from eval.protocols import import_protocols

        import_protocols([str(Path(name).resolve()) if name.endswith('.py') else name for name in args.imports])
    print(listing(args.list, args.verbose))
    return 0


def make_plan(args: argparse.Namespace) -> Plan:
    """The plan for these arguments.

    Raises:
        DataError: on an unknown suite, protocol or baseline, or two cells with one name.
    """
    from eval.matrix.plan import plan
    from eval.matrix.suites import suite_entries

    entries = suite_entries(args.suite, args.datasets, args.shots)
    encoders, seeds = list(dict.fromkeys(args.encoders)), list(dict.fromkeys(args.seeds))
    found = plan(entries, encoders, seeds, args.work_dir, args.retry_failed)
    refuse_equal_names(found.cells)
    if args.baseline is not None:
        check_baseline(args.baseline, found.cells)
    return found


def check_work_dir(work_dir: str, make: bool = False) -> None:
    """Check the work directory before anything runs; `make` also creates it.

    Raises:
        DataError: if it cannot be used, with the reason.
    """
    from sigma.errors import DataError

    path = Path(work_dir).absolute()
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    reason = None if there.is_dir() else f"'{there}' is not a folder"
    if make and reason is None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror
    if reason is not None:
        raise DataError(f"--work-dir '{work_dir}' cannot be used: {reason}; choose another.")


def check_baseline(name: str, planned: list[Planned]) -> None:
    """Refuse a misspelt baseline before hours are spent. Of a row `NAME [RECIPE]`, only the encoder is checked.

    Raises:
        DataError: on an unknown encoder, with the nearest one.
    """
    from sigma.errors import DataError, did_you_mean

    known = {item.cell.encoder for item in planned} | {i.resolved.encoder.name for i in planned if i.resolved}
    if name not in known and name.partition(' [')[0] not in known:
        raise DataError(did_you_mean('baseline', name, known))


def num_at_once(args: argparse.Namespace, num_open: int) -> int:
    """Cells in parallel. On this machine, at most as many as can run at the same time: a single one gets all cores."""
    from eval.matrix.executors.local import default_jobs

    if args.executor == 'slurm':
        return args.slurm_array
    return max(1, min(args.jobs or default_jobs(), num_open))


def make_backend(args: argparse.Namespace, jobs: int, protocols: list[CellProtocol]) -> Backend:
    """The backend that runs the cells.

    Args:
        args: Command line.
        jobs: Cells in parallel.
        protocols: The protocol of each cell; what these import is imported only once.

    Raises:
        DataError: if SLURM is asked for and not available, or an option is unknown.
    """
    if args.executor == 'local':
        from eval.matrix.executors.forks import modules_of
        from eval.matrix.executors.local import Local

        return Local(jobs, [] if args.no_forks else modules_of(protocols))
    from eval.matrix.executors.cluster import Cluster

    slurm = args.executor == 'slurm'
    options = dict(args.slurm_options)
    if slurm:
        options |= {'gpus_per_node': args.slurm_gpus, 'cpus_per_task': args.slurm_cpus}
        if args.slurm_partition:
            options['slurm_partition'] = args.slurm_partition
    return Cluster(Path(args.work_dir) / 'jobs', args.slurm_time, jobs, local=not slurm, options=options)


def headline(found: Plan, jobs: int) -> str:
    """How many cells there are, how many are done, and what the rest will take."""
    from eval.matrix.plan import cost

    def number(state: str, words: str) -> str:
        count = len(found.in_state(state))
        return f', {count} {words}' if count else ''

    num_cells = len(found.cells)
    text = f'{num_cells} cell{"s" if num_cells != 1 else ""}, {len(found.in_state("done"))} done'
    text += number('failed', 'failed before') + number('elsewhere', 'running elsewhere')
    text += number('blocked', 'blocked by a failed cell') + number('missing', 'that cannot run')
    left = cost(found, jobs)
    text += f', {left.num_known + left.num_unknown} to run, {jobs} in parallel'
    if left.num_known:
        text += f', about {left.seconds / 3600:.2f} h and {left.num_bytes / 1e9:.2f} GB'
        text += f' for {left.num_known} of them, ? for {left.num_unknown}' if left.num_unknown else ' for the rest'
    elif left.num_unknown:
        text += '; their cost is unknown until one of their kind has run in this work directory'
    if extra := sum(not item.listed for item in found.cells):
        text += f'; {extra} {"is" if extra == 1 else "are"} not in the suite, but needed by cells of it'
    return text


def refuse(problems: list[str]) -> None:
    """Refuse to run if something is missing.

    Raises:
        MissingData: naming everything that is missing.
    """
    from eval.matrix.plan import MissingData

    raise MissingData(problems)


def print_unfinished(found: Plan, results: list[Finished]) -> int:
    """Name the cells without a record, with their logs; return the exit status."""
    from eval.matrix.executors.job import read_failure

    for item in found.cells:
        if item.state == 'failed' and item.failure:
            print(f'failed before: {item.name}: {item.failure.reason} (log: {item.failure.log})', file=sys.stderr)
        elif blocker := item.blocker():
            print(f'blocked: {item.name}: it needs {blocker.name}, which failed before', file=sys.stderr)
    unfinished = [end for end in results if end.state != 'done']
    for end in unfinished:
        log = '' if end.state == 'blocked' else f' (log: {end.job.log})'
        print(f'{end.state}: {end.job.name}: {end.reason}{log}', file=sys.stderr)
    failed = len(found.in_state('failed')) + sum(read_failure(end.job.folder) is not None for end in unfinished)
    if failed:
        print(f'{failed} failed; --retry-failed runs them again', file=sys.stderr)
    return 1 if unfinished or found.in_state('failed', 'blocked') else 0


def refuse_equal_names(planned: list[Planned]) -> None:
    """Refuse two cells with one name: they would write the same record.

    Raises:
        DataError: naming both.
    """
    from sigma.errors import DataError

    seen: dict[str, object] = {}
    for item in planned:
        other = seen.setdefault(item.name, item.cell)
        if other != item.cell and item.resolved:
            raise DataError(f'{other} and {item.cell} both give a record named {item.name}; rename one of the parts.')


def print_results(planned: list, args: argparse.Namespace) -> None:
    """Print the table and the comparisons of these cells' records, and write them to the work directory."""
    from eval.records import RecordError, read_record
    from eval.report.formats import csv, markdown, text
    from eval.report.summaries import SUMMARIES
    from eval.report.sweeps import is_sweep, report
    from eval.report.table import BASELINE, Table, select
    from eval.report.verdicts import comparison
    from sigma.files import write_atomic

    records = []
    for item in planned:
        path = item.resolved.record_path(args.work_dir)
        with contextlib.suppress(RecordError):  # the cell is not done
            record = read_record(path)
            if record.cell['id'] == item.resolved.id:
                records.append(record)
    if not records:
        print('no records yet, so no table')
        return
    # The mean of a suite covers its own columns, so there is none with other datasets or shots.
    summary = None if args.datasets or args.shots else SUMMARIES.get(args.suite)
    table = Table(select(records), allow_partial=args.allow_partial, summary=summary)
    print(text(table))
    # --baseline may be a path or NAME@CHECKPOINT, as in --encoders; rows have the names of the cards.
    names = {item.resolved.cell.encoder: item.resolved.encoder.name for item in planned}
    baseline = names.get(args.baseline, args.baseline)
    for sentence in comparison(table, baseline):
        print(sentence)
    folder = Path(args.work_dir)
    write_atomic(folder / 'table.md', markdown(table))
    write_atomic(folder / 'table.csv', csv(table))
    if any(map(is_sweep, records)):
        robustness = report(table, baseline or BASELINE)
        print(robustness)
        write_atomic(folder / 'robustness.txt', robustness)
    print(f'records: {folder / "records"}; table: {folder / "table.md"}, {folder / "table.csv"}')


def guarded() -> int:
    """`main`, with errors as one sentence each."""
    from eval.records import RecordError
    from sigma.text import one_line

    try:
        return main()
    except KeyboardInterrupt:
        print('run_severe: interrupted; run the same command to continue', file=sys.stderr)
        return 130
    except (ValueError, RecordError, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        problems = getattr(error, 'problems', [str(error)])
        if len(problems) > 1:
            print(f'run_severe: {len(problems)} things are missing or do not fit; nothing was run', file=sys.stderr)
        for problem in problems:
            print('  - ' if len(problems) > 1 else 'run_severe: ', one_line(problem), sep='', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(guarded())
