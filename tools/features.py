"""Features of sliding clips for temporal localization: extract them, and hand them to other programs.

    python tools/features.py --dataset thumos14 --recipe localization_thumos14 --encoder vit_b --work-dir work_dirs/loc
    python tools/features.py ... --devices 4                      # a process a GPU; each takes the next video
    python tools/features.py ... --export work_dirs/thumos14      # as ActionFormer and OpenTAD read them
    python tools/features.py ... --pooling all                    # all tokens of each clip; says first what that takes

The store is that of the cells: what lies there is not made again, and `eval/run_severe.py` with the same `--work-dir`
reads it. Kill it anywhere and run it again. Bad input ends in one sentence on stderr and exit status 2.
"""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


def main(argv: list[str] | None = None) -> int:
    """Extract both splits, export where asked; the exit status."""
    args = parse(argv)
    from eval.run_cell import die_with_parent

    die_with_parent()  # of `on_devices`
    if args.devices > 1 and (failed := on_devices(args, sys.argv[1:] if argv is None else argv)):
        return failed
    try:
        run(args)
    except (ValueError, OSError) as error:  # DataError, RecordError
        print(f'features: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--dataset', required=True, metavar='CARD', help='of localization, such as thumos14')
    add('--recipe', required=True, help='whose view is taken, such as localization_thumos14')
    add('--encoder', required=True, metavar='CARD[@FILE]')
    add('--work-dir', required=True, metavar='DIR', help='features lie in DIR/features')
    add('--seed', type=int, default=0, help='of random weights')
    add('--pooling', choices=('mean', 'all'), default='mean', help='of the tokens of a clip (default: mean)')
    add('--batch', type=int, metavar='CLIPS', help="clips at a time (default: the recipe's)")
    add('--devices', type=int, default=1, metavar='N', help='processes, a GPU each where there are any')
    add('--export', metavar='DIR', help='write the layouts of ActionFormer and OpenTAD there')
    add('--quiet', action='store_true', help='no progress bar')
    args = parser.parse_args(argv)
    for name in ('batch', 'devices'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name} {getattr(args, name)} was asked; at least 1 is needed.')
    if args.export and args.pooling == 'all':
        parser.error('--export takes one vector a clip; leave out --pooling all.')
    return args


def run(args: argparse.Namespace) -> None:
    """Extract, say what there is, export."""
    from eval.cells.cell import Cell, ResolvedCell
    from eval.features.dense import extract_dense, store_folder
    from eval.protocols import get_protocol
    from eval.protocols.localization import Localization, view_of
    from sigma.data.cards import find_card, read_card

    name = read_card(find_card('recipes', args.recipe), 'recipe')['protocol']
    protocol = get_protocol(name)
    if not isinstance(protocol, Localization):
        raise ValueError(
            f'--recipe {args.recipe} is for the protocol {name}, which takes no features of sliding clips; name one of '
            'localization, such as localization_thumos14.'
        )
    resolved = ResolvedCell(Cell(name, args.dataset, args.recipe, args.encoder, args.seed), protocol)
    view = replace(view_of(resolved), pooling=args.pooling)
    batch = args.batch or resolved.recipe['batch_size']
    found = {}
    for split in ('train', 'test'):
        features, unscored = extract_dense(resolved, split, view, args.work_dir, batch, not args.quiet)
        found[split] = features, unscored
        size = sum(one.kept.stat().st_size for one in features) / 1e9
        print(f'{split}: {len(features)} videos, {size:.2f} GB in {store_folder(resolved, view, args.work_dir)}')
        for one in unscored:
            print(f'  not read: {one["video"]}: {one["reason"]}')
    if args.export:
        export(resolved, view, found, Path(args.export).resolve())  # it is read from elsewhere


def export(resolved, view, found: dict, out: Path) -> None:
    """Write what other programs read, and name it."""
    from eval.features.export import SUBSETS, export_features, names_of, write_configs

    classes = resolved.dataset.info['classes']
    width = next((one.values.shape[1] for features, _ in found.values() for one in features), None)
    if width is None:
        raise ValueError(f'{resolved.dataset.name}: no video could be read; there is nothing to export.')
    names, prefix = names_of([entry['video'] for split in found for entry in resolved.dataset.entries(split)])
    for split, (features, unscored) in found.items():
        entries = resolved.dataset.entries(split)
        export_features(features, entries, SUBSETS[split], classes, out, names, prefix, unscored)
    for path in write_configs(out, view, width, len(classes), prefix):
        print(f'wrote {path}')


def on_devices(args: argparse.Namespace, argv: list[str]) -> int:
    """Run the command in a process a device, which share the videos; the exit status of the first that failed.

    What they made is then read by this process.
    """
    from eval.matrix.executors.local import Local

    command = [sys.executable, str(Path(__file__).resolve()), *map(str, argv), '--devices', '1', '--export', '']
    running = []
    for number, device in enumerate(Local(args.devices).places):
        # None is a CPU: then each process takes its share of the cores.
        settings = {'OMP_NUM_THREADS': str(max(1, len(os.sched_getaffinity(0)) // args.devices))}
        settings['SIGMA_CELL_OF'] = str(os.getpid())  # they end with this process
        settings |= {} if device is None else {'CUDA_VISIBLE_DEVICES': device}
        quiet = ['--quiet'] if number else []  # the bar of one is enough: each counts what it made itself
        running.append(subprocess.Popen([*command, *quiet], env=os.environ | settings, stdout=subprocess.DEVNULL))
    statuses = [process.wait() for process in running]
    for number, status in enumerate(statuses):
        if status < 0:
            name = signal.Signals(-status).name
            print(f'features: process {number} of {len(statuses)} was ended by {name}; run it again.', file=sys.stderr)
    return next((status if status > 0 else 128 - status for status in statuses if status), 0)


if __name__ == '__main__':
    sys.exit(main())
