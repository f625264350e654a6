"""Options of the command line: types for argparse, each of which reads a word or says what is needed, and groups."""

import argparse

from sigma.commands import positive


def minutes(text: str) -> float:
    """Minutes, from a text of minutes or H:MM:SS."""
    try:
        parts = [float(part) for part in text.split(':')]
    except ValueError:
        parts = []
    if len(parts) not in (1, 3) or min(parts) < 0 or not 0 < sum(parts) < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} was given; minutes or H:MM:SS is needed, such as 90 or 1:30:00')
    return parts[0] if len(parts) == 1 else sum(part * weight for part, weight in zip(parts, (60, 1, 1 / 60)))


def key_value(text: str) -> tuple[str, str | int]:
    """(key, value) from KEY=VALUE; whole numbers become int."""
    key, equals, value = text.partition('=')
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f'{text!r} was given; KEY=VALUE is needed, such as mem_gb=64')
    return key, int(value) if value.isdigit() else value


def device(text: str) -> str:
    """A device; whether it is there is checked later."""
    kind, colon, number = text.partition(':')
    if kind not in ('cpu', 'cuda') or (colon and (kind == 'cpu' or not number.isdigit())):
        raise argparse.ArgumentTypeError(f'{text!r} was given; cpu, cuda, or cuda:N is needed, such as cuda:1')
    return text


def seed(text: str) -> int:
    """A seed that every library accepts."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f'{text} was given; a whole number from 0 to 2**32 - 1 is needed')
    return int(text)


def add_change_args(parser: argparse.ArgumentParser) -> None:
    """Options that change what a suite says."""
    group = parser.add_argument_group('changes to the suite')
    group.add_argument(
        '--datasets',
        nargs='+',
        metavar='DATASET',
        help="dataset cards or prepared folders to use instead of the suite's",
    )
    group.add_argument(
        '--protocols',
        nargs='+',
        metavar='PROTOCOL',
        help='only these protocols of the suite; one that the suite lacks is measured on each of its datasets',
    )
    group.add_argument(
        '--shots',
        nargs='+',
        type=positive,
        metavar='CLIPS',
        help="training clips per class, instead of the suite's few-shot numbers",
    )
    group.add_argument(
        '--recipe',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings to change in recipes, such as layer_decay=0.65 views.num_clips=2; part of the names of cells',
    )
    group.add_argument('--epochs', type=positive, metavar='N', help='the same as --recipe epochs=N')
    group.add_argument('--batch-size', type=positive, metavar='N', help='the same as --recipe batch_size=N')
    group.add_argument(
        '--limit',
        type=positive,
        metavar='N',
        help='a trial on N videos of each split, spread over the classes; its records never join others',
    )


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
