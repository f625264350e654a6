"""Extract features: one embedding per video (`embed`), or sliding clips for temporal localization.

    python tools/features.py embed --dataset data/mine --encoder work_dirs/mine/encoder.safetensors --out mine.parquet
    python tools/features.py embed --help

Without `embed`, features of sliding clips, which can be exported to other programs:

    python tools/features.py --dataset thumos14 --recipe localization_thumos14 --encoder vit_b --work-dir work_dirs/loc
    python tools/features.py ... --devices 4                      # one process per GPU; each takes the next video
    python tools/features.py ... --export work_dirs/thumos14      # as ActionFormer and OpenTAD read them
    python tools/features.py ... --pooling all                    # keep all tokens; first says how much disk that takes

Features go to the store that cells use: existing ones are kept, and `eval/run_severe.py` with the same `--work-dir`
reads them. If the command is killed, run it again and it continues. Bad input ends in one sentence on stderr and exit
status 2.
"""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sigma.errors import told

if TYPE_CHECKING:
    from eval.cells.cell import ResolvedCell
    from eval.features.dense import DenseView

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


EMBED = """One embedding per video of a dataset, in one file for other programs.

    python tools/features.py embed --dataset data/mine --encoder vit_b@FILE --out mine.parquet
    python tools/features.py embed ... --out mine.npy            # mine.npy, and mine.csv with a line per row of it
    python tools/features.py embed ... --pool time               # a vector per time step; --pool none keeps all tokens
    python tools/features.py embed ... --shard 1/4               # and 2/4, 3/4, 4/4 elsewhere: the last one joins

Each row has the path of the video as listed, its label, class and split, and the vector. Videos that cannot be read
have no row; they are named and counted. If the command is killed, run it again and it continues; the file appears when
it is whole. Bad input ends in one sentence on stderr and exit status 2.
"""


def main(argv: list[str] | None = None) -> int:
    """Extract, export if asked, and return the exit status."""
    argv = sys.argv[1:] if argv is None else [str(word) for word in argv]
    if argv[:1] == ['embed']:
        return embed(argv[1:])
    args = parse(argv)
    from eval.run_cell import die_with_parent

    die_with_parent()  # the parent is `on_devices`
    if args.devices > 1 and (failed := on_devices(args, argv)):
        return failed
    try:
        run(args)
    except (ValueError, OSError) as error:  # DataError, RecordError
        print(f'features: {told(error)}', file=sys.stderr)
        return 2
    return 0


def embed(argv: list[str]) -> int:
    """Run `features.py embed`; return the exit status."""
    args = parse_embed(argv)
    try:
        from eval.features.embeddings import Request
        from eval.features.embeddings import embed as make

        names = ('dataset', 'encoder', 'pool', 'views', 'stride_frames', 'batch_size', 'seed')
        given = {name: getattr(args, name) for name in names}
        request = Request(out=Path(args.out), splits=tuple(args.split) if args.split else None, **given)
        found = make(request, args.shard, not args.quiet)
    except KeyboardInterrupt:
        print('features: interrupted; finished parts are kept: run the same command to continue', file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:  # DataError, CheckpointError
        print(f'features: {told(error)}', file=sys.stderr)
        return 2
    for one in found.unreadable:
        print(f'  not read: {one["path"]} ({one["split"]}): {one["reason"]}')
    unread = f', {len(found.unreadable)} could not be read' if found.unreadable else ''
    if found.missing_parts:
        number, shards = args.shard
        print(
            f'shard {number}/{shards} is done; {args.out} is written when the others are: {found.missing_parts} of '
            f'{found.num_parts} parts are missing{unread}'
        )
    else:
        print(f'{args.out}: {found.num_videos} videos{unread}')
    return 0


def parse_embed(argv: list[str]) -> argparse.Namespace:
    """Parse the command line of `embed`."""
    from sigma.commands import Parser

    parser = Parser(prog='features.py embed', description=EMBED)
    add = parser.add_argument
    add('--dataset', required=True, metavar='CARD', help='dataset card or prepared folder')
    add('--encoder', required=True, metavar='ENCODER', help='card, CARD@FILE, or FILE.safetensors of a training')
    add('--out', required=True, metavar='FILE', help='file to write: .parquet, or .npy (with .csv and .json beside it)')
    add(
        '--pool',
        choices=('mean', 'time', 'none'),
        default='mean',
        help='mean of all tokens (D, the default), a mean per time step (T x D), or all tokens (T x H x W x D)',
    )
    add('--split', nargs='+', metavar='SPLIT', help="splits of the dataset (default: all, in the card's order)")
    add(
        '--views',
        type=views,
        metavar='CLIPSxCROPS',
        help='clips per video and crops of each, 1 or 3 (default: 2x1 for mean, 1x1 for time and none)',
    )
    add(
        '--stride-frames',
        type=int,
        metavar='N',
        help="video frames between sampled frames (default: the dataset's, else the encoder's)",
    )
    add('--batch-size', type=int, default=8, metavar='VIDEOS', help='videos per encoder pass (default: 8)')
    add('--shard', type=shard, default=(1, 1), metavar='I/N', help='make the I-th of N shares, from 1/N to N/N')
    add('--seed', type=int, default=0, help='seed of random weights (default: 0)')
    add('--quiet', action='store_true', help='show no progress')
    return parser.parse_args(argv)


def views(text: str) -> tuple[int, int]:
    """(clips, crops) from `2x1`, for argparse."""
    clips, _, crops = text.partition('x')
    if not (clips.isdecimal() and crops.isdecimal()):
        raise argparse.ArgumentTypeError(f'{text!r} was given; CLIPSxCROPS is needed, such as 2x1')
    return int(clips), int(crops)


def shard(text: str) -> tuple[int, int]:
    """(I, N) from `1/4`, for argparse."""
    number, _, shards = text.partition('/')
    if not (number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards)):
        raise argparse.ArgumentTypeError(f'{text!r} was given; I/N is needed, from 1/N to N/N, such as 1/4')
    return int(number), int(shards)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line without `embed`."""
    from sigma.commands import Parser, add_version

    parser = Parser(description=__doc__)
    add_version(parser)
    add = parser.add_argument
    add('--dataset', required=True, metavar='CARD', help='a localization dataset, such as thumos14')
    add('--recipe', required=True, help='recipe whose view is used, such as localization_thumos14')
    add('--encoder', required=True, metavar='CARD[@FILE]', help='encoder card, with the weights in FILE if given')
    add('--work-dir', required=True, metavar='DIR', help='features are stored in DIR/features')
    add('--seed', type=int, default=0, help='seed of random weights (default: 0)')
    add(
        '--pooling',
        choices=('mean', 'all'),
        default='mean',
        help='keep the mean or all tokens of each clip (default: mean)',
    )
    add('--batch', type=int, metavar='CLIPS', help="clips per encoder pass (default: the recipe's)")
    add('--devices', type=int, default=1, metavar='N', help='processes; each gets a GPU if there are any (default: 1)')
    add('--export', metavar='DIR', help='also write the features in the layouts of ActionFormer and OpenTAD')
    add('--quiet', action='store_true', help='show no progress bar')
    args = parser.parse_args(argv)
    for name in ('batch', 'devices'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name} is {getattr(args, name)}; it must be 1 or more.')
    if args.export and args.pooling == 'all':
        parser.error('--export needs one vector per clip; leave out --pooling all.')
    return args


def run(args: argparse.Namespace) -> None:
    """Extract both splits, print a summary, and export if asked."""
    from eval.cells.cell import Cell, ResolvedCell
    from eval.features.dense import extract_dense, store_folder
    from eval.protocols import get_protocol
    from eval.protocols.localization import Localization, view_of
    from sigma.data.cards import find_card, read_card
    from sigma.errors import DataError

    name = read_card(find_card('recipes', args.recipe), 'recipe')['protocol']
    protocol = get_protocol(name)
    if not isinstance(protocol, Localization):
        raise DataError(
            f'--recipe {args.recipe} is for the protocol {name}, which uses no features of sliding clips; choose one '
            'of localization, such as localization_thumos14.'
        )
    resolved = ResolvedCell(Cell(name, args.dataset, args.recipe, args.encoder, args.seed), protocol)
    view = replace(view_of(resolved), pooling=args.pooling)
    batch = args.batch or resolved.recipe['batch_size']
    found = {}
    for split in ('train', 'test'):
        features, unscored = extract_dense(resolved, split, view, args.work_dir, batch, not args.quiet)
        found[split] = features, unscored
        size = sum(one.kept.stat().st_size for one in features if isinstance(one.kept, Path)) / 1e9
        print(f'{split}: {len(features)} videos, {size:.2f} GB in {store_folder(resolved, view, args.work_dir)}')
        for one in unscored:
            print(f'  not read: {one["video"]}: {one["reason"]}')
    if args.export:
        export(resolved, view, found, Path(args.export).resolve())  # absolute: other programs read it


def export(resolved: 'ResolvedCell', view: 'DenseView', found: dict, out: Path) -> None:
    """Write the export and print the files.

    Args:
        resolved: The cell.
        view: How the features were cut.
        found: split -> (features, unscored), from `extract_dense`.
        out: Folder to write to.

    Raises:
        DataError: if there are no features.
    """
    from eval.features.export import SUBSETS, export_features, names_of, write_configs
    from sigma.errors import DataError

    classes = resolved.dataset.info['classes']
    width = next((one.values.shape[1] for features, _ in found.values() for one in features), None)
    if width is None:
        raise DataError(f'{resolved.dataset.name}: no video could be read; there is nothing to export.')
    names, prefix = names_of([entry['video'] for split in found for entry in resolved.dataset.entries(split)])
    for split, (features, unscored) in found.items():
        entries = resolved.dataset.entries(split)
        export_features(features, entries, SUBSETS[split], classes, out, names, prefix, unscored, view)
    for path in write_configs(out, view, width, len(classes), prefix):
        print(f'wrote {path}')


def on_devices(args: argparse.Namespace, argv: list[str]) -> int:
    """Run the command in one process per device. They share the videos, and this process then reads their features.

    Returns:
        0, or the exit status of the first process that failed.
    """
    from eval.matrix.executors.local import Local

    command = [sys.executable, str(Path(__file__).resolve()), *map(str, argv), '--devices', '1', '--export', '']
    running = []
    for number, device in enumerate(Local(args.devices).places):
        # None is the CPU: each process gets its share of the cores.
        settings = {'OMP_NUM_THREADS': str(max(1, len(os.sched_getaffinity(0)) // args.devices))}
        settings['SIGMA_CELL_OF'] = str(os.getpid())  # they end when this process ends
        settings |= {} if device is None else {'CUDA_VISIBLE_DEVICES': device}
        quiet = ['--quiet'] if number else []  # one bar is enough; each process counts only its own videos
        running.append(subprocess.Popen([*command, *quiet], env=os.environ | settings, stdout=subprocess.DEVNULL))
    statuses = [process.wait() for process in running]
    for number, status in enumerate(statuses):
        if status < 0:
            name = signal.Signals(-status).name
            print(
                f'features: process {number} of {len(statuses)} was killed by {name}; run the command again.',
                file=sys.stderr,
            )
    return next((status if status > 0 else 128 - status for status in statuses if status), 0)


if __name__ == '__main__':
    from sigma.commands import end_with

    end_with(main)
