"""`python -m tools.benchmark statistics`: how often intervals hold the truth, and how often a verdict is false.

Each row draws tables of results whose truth is known: a baseline and other encoders, all equally good, each with the
same number of seeds on the same videos. A seed moves a whole encoder, and what is hard for one encoder is mostly hard
for the others. The functions that the report calls then give intervals and verdicts, and three shares are counted:

- interval: tables in which the interval of the baseline holds its true score;
- difference: tables in which the interval of one encoder minus the baseline holds 0;
- false verdict: tables with at least one verdict after Holm's correction, all of which are false.

The true score is known (shares: means of a probit model), or is the mean over all tables, encoders and seeds (counts
and average precisions, whose mean depends on the number of videos).

Not called `statistics.py`: `__main__.py` may run as a script, and would then hide Python's own `statistics`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from sigma.text import align
from tools.benchmark.common import BenchmarkError

NUM_TABLES = 2000
GOAL = (93.0, 97.0)  # percent of tables in which an interval holds the truth
MOST_FALSE = 5.0  # percent of tables with a false verdict


class Sample(NamedTuple):
    """What one table holds of each encoder, the baseline first: one entry per seed."""

    encoders: list[list[Any]]
    truth: float | None  # percent or ratio; None: the mean over all tables
    strata: Any = None


class Row(NamedTuple):
    """A kind of score with its videos and seeds."""

    name: str
    videos: str
    num_seeds: int
    draw: Callable[[np.random.Generator, int], Sample]
    num_videos: int
    is_share: bool
    paired_seeds: bool = False
    slow: int = 1  # its tables are so many times fewer


class Result(NamedTuple):
    """Percent of the tables."""

    interval: float
    difference: float
    false: float
    num_tables: int
    seconds: float


# --- tables ----------------------------------------------------------------------------------------------------------


def shares(
    counts: tuple[int, ...],
    by_class: bool,
    seed_spread: float = 0.08,
    low: float = -1.0,
    high: float = 1.5,
    always: bool = False,
    draw_spread: float = 0.0,
):
    """Right and wrong by a probit model; `counts` are the numbers of videos of each class.

    The ability of a table lies between `low` and `high` (16 to 93 percent), classes and videos differ by a normal
    variate each, an encoder has a third one of its own in each video, and `seed_spread` is the spread of seeds (0.08 is
    about 2 points). With one seed there is none unless `always`: its interval is for these weights.
    `draw_spread` is that of few-shot draws: the seeds of one number have it in common in all encoders.
    """
    label = np.repeat(np.arange(len(counts)), counts)

    def draw(rng: np.random.Generator, num_seeds: int) -> Sample:
        from scipy.special import ndtr

        from eval.metrics.classification import mean_class_weights
        from eval.report.variances import Strata

        spread = seed_spread if num_seeds > 1 or always else 0.0
        ability = rng.uniform(low, high) + (rng.normal(size=len(counts)) * by_class)[label]
        hard = rng.normal(size=len(label))
        encoders = []
        drawn = draw_spread * rng.normal(size=(num_seeds, 1))
        for _ in range(5):
            own = 0.5 * rng.normal(size=len(label))
            seeds = drawn + spread * rng.normal(size=(num_seeds, 1))
            encoders.append(list(rng.normal(size=(num_seeds, len(label))) < ability + hard + own + seeds))
        chance = ndtr(ability / np.sqrt(1 + 1 + 0.25 + spread**2 + draw_spread**2))
        strata = Strata(label, mean_class_weights(label)) if by_class else None
        truth = chance.mean() if strata is None else chance @ strata.weight
        return Sample(encoders, 100 * float(truth), strata)

    return draw


def counts(num_videos: int):
    """Counts with an error that grows with the true count; encoders of one table differ by nothing but luck."""

    def draw(rng: np.random.Generator, num_seeds: int) -> Sample:
        from eval.metrics.repetition import absolute_errors
        from eval.report.bootstrap import mean_scorer

        true = rng.integers(2, 16, num_videos)
        hard = rng.normal(size=num_videos)
        encoders = []
        for _ in range(4):
            factor = np.exp(0.2 * hard + 0.15 * rng.normal(size=(num_seeds, num_videos)))
            bias = 0.05 * (num_seeds > 1) * rng.normal(size=(num_seeds, 1))
            encoders.append([mean_scorer(absolute_errors((true * seed)[:, None], true)) for seed in factor + bias])
        return Sample(encoders, None)

    return draw


def several_labels(num_videos: int, num_classes: int):
    """Scores of several labels at once, positives in a tenth to four tenths of the videos."""

    def draw(rng: np.random.Generator, num_seeds: int) -> Sample:
        from eval.metrics.multi_label import resampled_mean_average_precision

        labels = rng.random((num_videos, num_classes)) < np.linspace(0.1, 0.4, num_classes)
        labels[rng.integers(num_videos), :] = True  # every class counts
        hard = rng.normal(size=labels.shape)
        encoders = []
        for _ in range(3):
            shift = 1 + 0.1 * (num_seeds > 1) * rng.normal(size=num_seeds)
            noise = hard + 0.5 * rng.normal(size=(num_seeds, *labels.shape))
            encoders.append([resampled_mean_average_precision(n + s * labels, labels) for n, s in zip(noise, shift)])
        return Sample(encoders, None)

    return draw


def segments(num_videos: int, num_classes: int):
    """Two true actions per video, found with errors in time, and as many that are not there."""

    def draw(rng: np.random.Generator, num_seeds: int) -> Sample:
        from scipy.special import ndtr

        from eval.metrics.localization import THUMOS_TIOU, resampled_mean_average_precision

        start = rng.uniform(0, 20, (num_videos, 2)) + (0, 60)
        kind = rng.integers(0, num_classes, (num_videos, 2)).astype(float)
        labels = np.stack([start, start + rng.uniform(8, 15, start.shape), kind], axis=2)
        hard = rng.normal(size=(num_videos, 2, 1))
        encoders = []
        for _ in range(2):
            seeds = []
            for _ in range(num_seeds):
                near = labels.copy()
                near[..., :2] += rng.normal(size=near[..., :2].shape) * (1.5 + 0.1 * (num_seeds > 1) * rng.normal())
                near[..., 1] = np.maximum(near[..., 1], near[..., 0] + 1)
                surely = ndtr(1 + hard + rng.normal(size=hard.shape))
                away = near + np.array([100, 100, 0])
                found = np.concatenate([near, away], axis=1)
                score = np.concatenate([surely, ndtr(rng.normal(size=hard.shape))], axis=1)
                seeds.append(
                    resampled_mean_average_precision(np.concatenate([found, score], axis=2), labels, THUMOS_TIOU)
                )
            encoders.append(seeds)
        return Sample(encoders, None)

    return draw


def rows(num_seeds: tuple[int, ...]) -> list[Row]:
    """All rows of the table."""
    found = []
    mixed = (1,) * 10 + (2,) * 10 + (20,) * 5 + (50,) * 3
    of_classes = {
        '10 classes of 1, 10 of 2, 5 of 20, 3 of 50': mixed,
        '20 classes of 1, 20 of 2, 5 of 50': (1,) * 20 + (2,) * 20 + (50,) * 5,
        '30 classes of 1, 5 of 20': (1,) * 30 + (20,) * 5,
        '25 classes of 20': (20,) * 25,
    }
    for num in num_seeds:
        found += [
            Row('share', '20', num, shares((20,), False), 20, True),
            Row('share', '100', num, shares((100,), False), 100, True),
            Row('share', '1000', num, shares((1000,), False), 1000, True),
            Row('share near 100 %', '100', num, shares((100,), False, low=2.0, high=4.0), 100, True),
        ]
        if num == 1:
            found.append(
                Row('share, for other seeds too', '1000', num, shares((1000,), False, always=True), 1000, True)
            )
        else:
            found += [
                Row('share, equal seeds', '100', num, shares((100,), False, 0.0), 100, True),
                Row('share, seeds 8 points apart', '100', num, shares((100,), False, 0.3), 100, True),
                Row('share, few-shot', '100', num, shares((100,), False, draw_spread=0.3), 100, True, True),
            ]
        found += [
            Row('mean per class', text, num, shares(sizes, True), sum(sizes), True)
            for text, sizes in of_classes.items()
        ]
        found += [
            Row('count error', '100', num, counts(100), 100, False),
            Row('multi-label mAP, 5 classes', '100', num, several_labels(100, 5), 100, False, slow=2),
            Row('detection mAP, 3 classes', '100', num, segments(100, 3), 100, False, slow=8),
        ]
    return found


# --- counting --------------------------------------------------------------------------------------------------------


def simulate(row: Row, num_tables: int, random_state: int = 1) -> Result:
    """Draw the tables of a row and count; the same row and random state give the same counts."""
    from eval.report import statistics
    from eval.report.p_values import holm

    begun = time.perf_counter()
    rng = np.random.default_rng(random_state)
    bounds, scores, truths, no_difference, false = [], [], [], 0, 0
    for _ in range(num_tables):
        sample = row.draw(rng, row.num_seeds)
        baseline, *others = sample.encoders
        if row.is_share:
            bounds.append(statistics.interval(baseline, strata=sample.strata, pooled=_pooled(row, sample))[:3])
            found = [
                statistics.paired_difference(other, baseline, paired_seeds=row.paired_seeds, strata=sample.strata)
                for other in others
            ]
        else:
            bounds.append(statistics.bootstrap_interval(baseline, row.num_videos)[:3])
            found = [
                statistics.bootstrap_difference(other, baseline, row.num_videos, paired_seeds=row.paired_seeds)
                for other in others
            ]
        scores += [bounds[-1][0], *(bounds[-1][0] + each.difference for each in found)]
        truths.append(sample.truth)
        no_difference += found[0].low <= 0 <= found[0].high
        corrected = holm([each.p for each in found])
        false += any(statistics.is_clear(each, p) for each, p in zip(found, corrected))
    mean = float(np.mean(scores))
    held = [low <= (mean if truth is None else truth) <= high for (_, low, high), truth in zip(bounds, truths)]
    percent = [100 * share / num_tables for share in (sum(held), no_difference, false)]
    return Result(*percent, num_tables, time.perf_counter() - begun)


def _pooled(row: Row, sample: Sample):
    """What the seeds of all encoders of a table have in common, as a table of results pools them; shares only."""
    from eval.report import statistics
    from eval.report.variances import pool

    found = [statistics.share_spread(encoder, sample.strata) for encoder in sample.encoders]
    shared = len(found) if row.paired_seeds else 1  # few-shot draws
    return pool([each._replace(freedom=each.freedom / shared) for each in found])


def _simulated(job: tuple[int, tuple[int, ...], int, int]) -> Result:
    """`simulate` of one row by its position, which other processes can be sent."""
    position, num_seeds, num_tables, random_state = job
    row = rows(num_seeds)[position]
    return simulate(row, max(1, num_tables // row.slow), random_state)


def add_statistics(commands) -> None:
    """Add the sub-command `statistics`."""
    parser = commands.add_parser('statistics', help='how often intervals hold the truth and verdicts are false')
    parser.add_argument('--tables', type=int, default=NUM_TABLES, help=f'tables per row (default {NUM_TABLES})')
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 3, 5], help='numbers of seeds (default 1 3 5)')
    parser.add_argument('--rows', nargs='+', metavar='WORD', help='only rows whose name holds one of these words')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default 1)')
    parser.add_argument('--random-state', type=int, default=1, help='draws other tables (default 1)')
    parser.set_defaults(run=print_statistics)


def _told(chosen: list[int], every: list[Row], results: Iterable[Result]) -> Iterator[Result]:
    """The results as they come, each told on stderr, since all of them take minutes."""
    for number, found in zip(chosen, results):
        row = every[number]
        print(f'{row.name}, {row.videos}, {row.num_seeds} seeds: {tuple(found)}', file=sys.stderr, flush=True)
        yield found


def print_statistics(args: argparse.Namespace) -> None:
    """Print a Markdown table with a line per row, and which rows miss a goal."""
    if args.tables < 1 or args.jobs < 1 or min(args.seeds) < 1:
        raise BenchmarkError(
            f'--tables {args.tables} --jobs {args.jobs} --seeds {args.seeds} was asked for; each starts at 1.'
        )
    every = rows(tuple(args.seeds))
    chosen = [n for n, row in enumerate(every) if not args.rows or any(word in row.name for word in args.rows)]
    if not chosen:
        raise BenchmarkError(
            f'no row holds {args.rows}; the rows are: {", ".join(dict.fromkeys(r.name for r in every))}'
        )
    jobs = [(number, tuple(args.seeds), args.tables, args.random_state) for number in chosen]
    with ProcessPoolExecutor(args.jobs) as pool:
        results = list(_told(chosen, every, pool.map(_simulated, jobs)))
    lines = [['score', 'videos', 'seeds', 'interval', 'difference', 'false verdict', 'tables', 'seconds']]
    missed = []
    for row, found in zip((every[number] for number in chosen), results):
        shown = [f'{value:.1f}' for value in found[:3]]
        lines.append([row.name, row.videos, str(row.num_seeds), *shown, str(found.num_tables), f'{found.seconds:.0f}'])
        if not all(GOAL[0] <= value <= GOAL[1] for value in found[:2]) or found.false > MOST_FALSE:
            missed.append(f'{row.name}, {row.videos} videos, {row.num_seeds} seeds: {", ".join(shown)}')
    print(align(lines, markdown=True))
    print(f'goals: interval and difference {GOAL[0]:g} to {GOAL[1]:g}, false verdict at most {MOST_FALSE:g} percent')
    print(f'{len(missed)} of {len(chosen)} rows miss one' + ''.join(f'\n  {text}' for text in missed))
