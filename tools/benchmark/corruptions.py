"""`python -m tools.benchmark corruptions`: milliseconds per frame and core of each corruption."""

import argparse
import statistics

WORST_MS_GOAL, MEDIAN_MS_GOAL = 15.0, 3.0  # ms per frame


def add_corruptions(commands) -> None:
    """Add the sub-command `corruptions`."""
    parser = commands.add_parser('corruptions', help='ms per frame of each corruption')
    parser.add_argument('--frames', type=int, default=16, help='frames per call')
    parser.add_argument('--size', type=int, default=256, help='height and width of a frame, in pixels')
    parser.add_argument('--names', nargs='+', metavar='NAME', help='only these corruptions (default: all)')
    parser.set_defaults(run=print_corruptions)


def print_corruptions(args: argparse.Namespace) -> None:
    """Print a line per corruption, then the slowest and the median of those that ran."""
    from eval.corruptions import time_corruptions

    found = time_corruptions(args.size, args.frames, args.names)
    print(f'ms per frame on one core, {args.frames} frames of {args.size}x{args.size}, mean over severities (slowest)')
    for name, times in found.items():
        if 'unavailable' in times:
            print(f'  {name:<28} not available: {times["unavailable"]}')
        else:
            print(f'  {name:<28} {times["ms"]:8.2f}   ({times["worst_ms"]:.2f} at {times["worst_severity"]})')
    means = {name: times['ms'] for name, times in found.items() if 'ms' in times}
    if means:
        slowest = max(means, key=means.__getitem__)
        print(
            f'  slowest {means[slowest]:.2f}, {slowest} (goal {WORST_MS_GOAL:g}); '
            f'median {statistics.median(means.values()):.2f} (goal {MEDIAN_MS_GOAL:g})'
        )
