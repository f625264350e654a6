"""Measure encoders: suite x encoders x seeds, one record per cell, and a table with intervals.

    python eval/run_severe.py --suite demo --encoders random sigma_mlp_toy --seeds 0 1 2 --work-dir work_dirs/demo

Encoders are files that describe themselves (the encoder.safetensors of a training), names or paths of cards, or
CARD@FILE for other weights under the same card; NAME=ENCODER names the row. Cells that have a record do not run again:
kill the command at any point, run it again, and it continues. Two such commands on one work directory share the cells.
If a cell measures the trained weights of another, it runs after that one; the plan adds the other cell if the suite
does not list it. A failed cell keeps its log and the reason, and runs again with `--retry-failed`. `--dry-run` prints
the plan: what is done, failed, blocked, running elsewhere or to run, what it will cost, and what is missing.

Exit status: 0 when every cell has its record (a dry run: when the plan can run), 1 when cells failed, were stopped or
blocked, 2 for bad input and missing data, before anything ran; 130 after Ctrl-C and 143 after SIGTERM, with the table
so far and the command that goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.matrix.arguments import add_change_args, add_executor_args, device, seed
from sigma.commands import Parser, add_version, outlive_readers, positive

if TYPE_CHECKING:
    from eval.cells.cell import CellProtocol
    from eval.matrix.executors.job import Finished
    from eval.matrix.executors.schedule import Backend
    from eval.matrix.plan import Plan, Planned


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(prog='run_severe', description=__doc__)
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
        help='FILE.safetensors, CARD or CARD@FILE (see --list encoders), timm:MODEL@FILE; NAME=ENCODER names its row',
    )
    parser.add_argument('--seeds', nargs='+', type=seed, default=[0], help='each is a cell of its own (default: 0)')
    parser.add_argument('--work-dir', help='records, features and logs go here')
    add_change_args(parser)
    parser.add_argument(
        '--jobs', type=positive, help='cells run in parallel (default: one per GPU, else one per core, at most 4)'
    )
    parser.add_argument('--no-forks', action='store_true', help='start a new Python per cell; costs seconds each')
    parser.add_argument(
        '--live',
        nargs='?',
        const='',
        metavar='FILE.html',
        help='keep a page fresh while cells run, with progress, table so far and failures; open it in a browser '
        '(default: WORK_DIR/live.html)',
    )
    parser.add_argument('--dry-run', action='store_true', help='print the plan and run nothing')
    parser.add_argument(
        '--print-config',
        nargs='?',
        const='',
        metavar='CELL',
        help='print the resolved config of the cell with this id or name, or of all cells, and run nothing',
    )
    parser.add_argument(
        '--device',
        type=device,
        metavar='cpu|cuda|cuda:N',
        help='where cells compute (default: all GPUs that are visible, else the CPU)',
    )
    parser.add_argument(
        '--keep-states',
        choices=('none', 'last'),
        default='last',
        help='what stays of the trained weights of finished cells: the last state (default), or none; those that other '
        'cells of the plan still need stay until then',
    )
    parser.add_argument('--retry-failed', action='store_true', help='also run cells that failed before')
    parser.add_argument(
        '--import',
        dest='imports',
        nargs='+',
        default=[],
        metavar='MODULE',
        help='modules or .py files with your own protocols, corruptions, metrics or suites (entries of SUITES)',
    )
    parser.add_argument(
        '--metric', metavar='NAME', help="metric of the table, such as mean_class (default: the suite's)"
    )
    parser.add_argument('--baseline', help='encoder to compare the others with (default: random, if it is there)')
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='let rows with under 99 %% of the videos count in means and verdicts',
    )
    add_executor_args(parser)
    add_version(parser)
    args = parser.parse_args(argv)
    needed = {'--suite': args.suite, '--encoders': args.encoders, '--work-dir': args.work_dir}
    if lacking := [name for name, value in needed.items() if value is None and args.list is None]:
        parser.error(f'{", ".join(lacking)} must be given; see --help')
    return args


def main(argv: list[str] | None = None) -> int:
    """Plan, run what is missing, print the table."""
    args = parse_args(argv)
    if args.list is not None:
        return print_list(args)
    from eval.matrix.ending import print_unfinished, signals_stop
    from eval.matrix.executors.local import use_device
    from eval.matrix.live import print_encoders, print_plan

    imports = imported(args)  # may add a metric
    check_work_dir(args.work_dir)
    page = live_file(args)
    if args.metric:
        from eval.metrics import get_metric

        get_metric(args.metric)
    use_device(args.device)
    found = make_plan(args)
    jobs = num_at_once(args, found.max_parallel())
    if args.print_config is not None:
        return print_configs(found, args.print_config)
    print(headline(found, jobs))
    print_encoders(found)
    print_plan(found, every_cell=args.dry_run)
    if found.problems:
        refuse(found.problems)
    if args.dry_run:
        return 0
    check_work_dir(args.work_dir, make=True)
    try:
        with signals_stop():
            results = run_cells(found, args, jobs, imports, page, argv or sys.argv[1:])
            print_table(found, args)
    except KeyboardInterrupt as stop:
        return stopped(stop, found, args, argv or sys.argv[1:])
    except OSError as error:  # a full disk, or a file system that is unavailable
        what = f'{error.strerror or error} ({error.filename or args.work_dir})'
        print(
            f'run_severe: {what}; finished cells keep their records; run the same command to continue', file=sys.stderr
        )
        return 1
    return print_unfinished(found, results)


def stopped(stop: KeyboardInterrupt, found: Plan, args: argparse.Namespace, words: list[str]) -> int:
    """Say what is done and what goes on, and print the table so far; another Ctrl-C ends at once."""
    from eval.matrix.ending import status_of, told_stop

    try:
        print(f'run_severe: {told_stop(stop, found, args.work_dir, words)}', file=sys.stderr)
        print_table(found, args)
    except KeyboardInterrupt:
        print('run_severe: interrupted again, so there is no table; the same command continues', file=sys.stderr)
    return status_of(stop)


def imported(args: argparse.Namespace) -> list[str]:
    """Import what `--import` names; return the names as cells need them."""
    names = [str(Path(name).resolve()) if name.endswith('.py') else name for name in args.imports]
    if names:
        from eval.protocols import import_protocols

        import_protocols(names)
    return names


def live_file(args: argparse.Namespace) -> Path | None:
    """File of the live page; None without `--live`.

    Raises:
        DataError: if it is no .html file.
    """
    if args.live is None:
        return None
    from eval.matrix.live_page import live_path

    return live_path(args.live, Path(args.work_dir) / 'live.html')


def run_cells(
    found: Plan, args: argparse.Namespace, jobs: int, imports: list[str], page: Path | None, words: Sequence[str]
) -> list[Finished]:
    """Run the open cells, and remember how fast they were on this machine."""
    from eval.matrix.ending import DropStates, command_again
    from eval.matrix.executors.schedule import Watcher, run
    from eval.matrix.live import Progress
    from eval.matrix.plan import OPEN
    from eval.matrix.work import learn

    tasks = found.jobs(args.work_dir, imports)
    protocols = [item.resolved.protocol for item in found.in_state(*OPEN) if item.resolved]
    backend = make_backend(args, jobs, protocols) if tasks else None
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress(found, jobs))
        told: Watcher = progress
        if page is not None:
            from eval.matrix.live_page import live_page

            suite = args.suite if is_whole_suite(args) else None
            title, command = f'{Path(args.suite).stem}: live', command_again(words)
            live = live_page(found, progress, page, args.work_dir, title, command, suite, args.allow_partial)
            told = stack.enter_context(live)
        watcher = DropStates(found, args.work_dir, told) if args.keep_states == 'none' else told
        try:
            return run(tasks, backend, watcher) if backend is not None else []
        finally:
            if args.executor == 'local':
                learn(found.measured(progress.ends))


def is_whole_suite(args: argparse.Namespace) -> bool:
    """Whether the columns are the suite's own: with others, there is no mean over the suite."""
    return not (args.datasets or args.shots or args.protocols or args.limit)


def print_table(found: Plan, args: argparse.Namespace) -> None:
    """Print and write the table of what has records so far."""
    from eval.matrix.results import print_results, table_name

    changes = (args.recipe or []) + [f'{key}={value}' for key, value in sugar(args).items()]
    limits = [f'limit{args.limit}'] if args.limit else []
    name = table_name(
        args.suite, args.datasets, args.protocols, args.shots, changes, limits, [args.metric] if args.metric else None
    )
    # The mean of a suite covers its own columns, so there is none with other datasets, protocols or shots.
    suite = args.suite if is_whole_suite(args) else None
    print_results(found.listed(), args.work_dir, name, suite, args.baseline, args.allow_partial, metric=args.metric)


def print_configs(found: Plan, wanted: str) -> int:
    """Print the resolved config of every cell, or of the one with this name or start of an id.

    Raises:
        MissingData: if cells cannot be resolved.
        DataError: if there is no such cell.
    """
    import pprint

    from sigma.errors import DataError, did_you_mean

    cells = [item.resolved for item in found.cells if item.resolved is not None]
    chosen = [cell for cell in cells if not wanted or cell.name == wanted or cell.id.startswith(wanted)]
    if not chosen and found.problems:
        refuse(found.problems)
    if not chosen:
        raise DataError(did_you_mean('cell', wanted, (cell.name for cell in cells)))
    for cell in chosen:
        print(f'# {cell.name} ({cell.id[:8]})\nrecipe = {pprint.pformat(cell.recipe, width=100)}')
        print(f'config = {pprint.pformat(cell.config, width=100)}\n')
    if found.problems:
        refuse(found.problems)
    return 0


def print_list(args: argparse.Namespace) -> int:
    """Print what `--list` asks for, including what `--import` adds; return the exit status."""
    from eval.matrix.listing import listing

    imported(args)
    print(listing(args.list, args.verbose))
    return 0


def make_plan(args: argparse.Namespace) -> Plan:
    """The plan for these arguments.

    Raises:
        DataError: on an unknown suite, protocol or baseline, or two cells with one name.
    """
    from eval.cells.overrides import as_changes, parse_changes
    from eval.matrix.choose import with_limits, with_protocols
    from eval.matrix.plan import plan
    from eval.matrix.suites import suite_entries

    entries = suite_entries(args.suite, args.datasets, args.shots)
    if args.protocols:
        entries = with_protocols(entries, args.protocols, args.suite)
    changes = as_changes(parse_changes(args.recipe, sugar(args)))
    encoders, seeds = list(dict.fromkeys(args.encoders)), list(dict.fromkeys(args.seeds))
    found = plan(
        with_limits(entries, args.limit),
        encoders,
        seeds,
        args.work_dir,
        args.retry_failed,
        changes=changes,
        shots_asked=bool(args.shots),
    )
    refuse_equal_names(found.cells)
    if args.baseline is not None:
        check_baseline(args.baseline, found.cells)
    return found


def sugar(args: argparse.Namespace) -> dict[str, int]:
    """What `--epochs` and `--batch-size` change in recipes."""
    given = {'epochs': args.epochs, 'batch_size': args.batch_size}
    return {key: value for key, value in given.items() if value is not None}


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
    stopped = sum(item.reached is not None for item in found.in_state('to run'))
    text += f', {left.num_known + left.num_unknown} to run{f" ({stopped} interrupted before)" if stopped else ""}'
    text += f', {jobs} in parallel'
    if left.num_known:
        text += f', about {left.seconds / 3600:.2f} h and {left.num_bytes / 1e9:.2f} GB for the rest'
        text += told_source(left.how)
    if extra := sum(not item.listed for item in found.cells):
        text += f'; {extra} {"is" if extra == 1 else "are"} not in the suite, but needed by cells of it'
    return text


def told_source(how: tuple[str, ...]) -> str:
    """Where an estimate comes from, for the end of a sentence; empty if all was measured in this work directory."""
    from eval.matrix.work import RULE

    if 'rule' in how:
        return f' (no such cell has run on this machine yet, so by a rule of thumb: {RULE})'
    return ' (by the speed of earlier cells on this machine)' if 'machine' in how else ''


def refuse(problems: list[str]) -> None:
    """Refuse to run if something is missing.

    Raises:
        MissingData: naming everything that is missing.
    """
    from eval.matrix.plan import MissingData

    raise MissingData(problems)


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


def guarded() -> int:
    """`main`, with errors as one sentence each."""
    from eval.records import RecordError
    from sigma.text import one_line

    outlive_readers()
    try:
        return main()
    except KeyboardInterrupt:  # while it plans; `main` answers later ones
        print('run_severe: interrupted before anything ran; run the same command again', file=sys.stderr)
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
