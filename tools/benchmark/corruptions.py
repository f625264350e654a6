"""Milliseconds that a frame takes on one core under each corruption."""

import argparse
import statistics

WORST_MS_GOAL, MEDIAN_MS_GOAL = 15.0, 3.0  # of a corruption, a frame


def add_corruptions(commands) -> None:
    """The sub-command."""
    corruptions = commands.add_parser('corruptions', help='ms a frame of every corruption')
    corruptions.add_argument('--frames', type=int, default=16, help='frames a call')
    corruptions.add_argument('--size', type=int, default=256, help='pixels of a side')
    corruptions.add_argument('--names', nargs='+', metavar='NAME', help='these alone')
    corruptions.set_defaults(run=print_corruptions)


def print_corruptions(args: argparse.Namespace) -> None:
    """A line a corruption, then the worst and the median of those that ran."""
    from eval.corruptions import time_corruptions

    found = time_corruptions(args.size, args.frames, args.names)
    print(f'ms a frame of one core, {args.frames} frames of {args.size}x{args.size}, mean over severities (worst one)')
    for name, times in found.items():
        if 'unavailable' in times:
            print(f'  {name:<28} not here: {times["unavailable"]}')
        else:
            print(f'  {name:<28} {times["ms"]:8.2f}   ({times["worst_ms"]:.2f} at {times["worst_severity"]})')
    means = {name: times['ms'] for name, times in found.items() if 'ms' in times}
    if means:
        slowest = max(means, key=means.get)
        print(
            f'  slowest {means[slowest]:.2f}, {slowest} (goal {WORST_MS_GOAL:g}); '
            f'median {statistics.median(means.values()):.2f} (goal {MEDIAN_MS_GOAL:g})'
        )
