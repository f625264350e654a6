"""Curves of losses and diagnostics of pretraining runs, drawn from their logs; needs no torch."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from sigma.errors import DataError

PAPER_WIDTH_INCHES = 7.0
COLUMNS = 3
# The palette of Okabe and Ito, which works for all kinds of colour vision; as in the figures of results.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#9A9A9A')
# FIRST come first, in this order, LAST come last; all others are sorted by name in between.
FIRST = ('loss', 'loss_pred', 'loss_target', 'loss_pixels', 'loss_l2', 'prototypes_used', 'code_entropy', 'agreement')
LAST = ('knn/top1', 'lr', 'clips_per_second', 'data_wait_percent')
TITLES = {'knn/top1': 'kNN top-1 (%)', 'data_wait_percent': 'data wait (%)', 'lr': 'learning rate'}
# Clocks and counters, not worth a curve.
LEFT_OUT = {'base_lr', 'data_time', 'time', 'epoch', 'iter', 'step', 'memory', 'undecodable_videos', 'knn/clips_scored'}
FEW_POINTS = 20  # up to this many points get markers, since nothing was measured in between
POINTS_OF_MEAN = 50  # the window of the running mean is this fraction of the curve

Curve = tuple[list[int], list[float]]


def draw_pretraining(runs: Sequence[str | Path]) -> Figure:
    """Losses and diagnostics over training steps: one panel per quantity, one colour per run.

    Thin lines are the logged values, thick lines their running mean over a fiftieth of the curve. After a resume, the
    later log counts; NaN leaves a gap.

    Args:
        runs: Work directories of `tools/train.py`, or their `scalars.json`.

    Returns:
        A figure of page width, with a panel for every quantity that at least one run has.

    Raises:
        DataError: if a run has no log, or a line of it is malformed (except the last, which a kill may cut off).
    """
    if not runs:
        raise DataError('No run was given; give work directories of tools/train.py.')
    curves = {name: read_curves(run) for name, run in zip(_names(runs), runs)}
    found = {quantity for by_quantity in curves.values() for quantity in by_quantity}
    middle = sorted(found - set(FIRST) - set(LAST))
    quantities = [q for q in (*FIRST, *middle, *LAST) if q in found]
    rows = math.ceil(len(quantities) / COLUMNS)
    with matplotlib.rc_context({'font.size': 7, 'axes.spines.top': False, 'axes.spines.right': False}):
        figure = Figure((PAPER_WIDTH_INCHES, 1.35 * rows + 0.35), layout='constrained')
        axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
        for axis, quantity in zip(axes, quantities):
            axis.set_title(TITLES.get(quantity, quantity.replace('_', ' ')), fontsize=7)
            for number, (name, by_quantity) in enumerate(curves.items()):
                if quantity in by_quantity:
                    steps, values = by_quantity[quantity]
                    colour = COLOURS[number % len(COLOURS)]
                    axis.plot(steps, values, color=colour, linewidth=0.4, alpha=0.4)
                    dot = '.' if len(steps) <= FEW_POINTS else None
                    axis.plot(steps, running_mean(values), color=colour, linewidth=1.0, label=name, marker=dot)
        last = max((steps[-1] for of_run in curves.values() for steps, _ in of_run.values()), default=1)
        for axis in axes[: len(quantities)]:
            axis.set_xlim(0, last)  # the same axis for all: some quantities start later, with their first window
        for axis in axes[len(quantities) :]:
            axis.set_axis_off()
        for axis in axes[max(0, len(quantities) - COLUMNS) : len(quantities)]:
            axis.set_xlabel('step')
        handles = {h.get_label(): h for axis in axes for h in axis.get_legend_handles_labels()[0]}
        figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=3, frameon=False)
    return figure


def read_curves(run: str | Path) -> dict[str, Curve]:
    """Quantity -> (steps, values) of a run, in ascending steps; if two logs hold a step, the later one counts.

    Raises:
        DataError: As in `draw_pretraining`.
    """
    run = Path(run)
    # One folder per start of the run. No deeper, or several runs in one folder would become one curve.
    files = (
        [run] if run.is_file() else sorted([*run.glob('vis_data/scalars.json'), *run.glob('*/vis_data/scalars.json')])
    )
    if not files:
        raise DataError(f'{run} holds no vis_data/scalars.json; give a work directory of tools/train.py.')
    values: dict[str, dict[int, float]] = {}
    for file in files:
        begun: set[str] = set()
        for step, entry in _entries(file):
            for quantity, value in entry.items():
                if quantity in LEFT_OUT or isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                by_step = values.setdefault(quantity, {})
                if quantity not in begun:  # steps after the last checkpoint of a killed run were run again
                    begun.add(quantity)
                    values[quantity] = by_step = {s: v for s, v in by_step.items() if s < step}
                by_step[step] = float(value)
    if not values:
        raise DataError(f'{run} holds no logged values yet; let it run for some steps.')
    return {q: (sorted(by_step), [by_step[s] for s in sorted(by_step)]) for q, by_step in values.items()}


def _entries(file: Path) -> list[tuple[int, dict]]:
    """(step, entry) of every line of a log; an entry without a step (of a validation) takes the step before it."""
    lines, entries, step = file.read_text('utf-8', errors='replace').splitlines(), [], 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            step = int(entry.get('iter', step))
        except (ValueError, TypeError, AttributeError):
            if number == len(lines):  # cut off by a kill
                break
            raise DataError(f'{file}, line {number}, is not a JSON object, so this is not the log of a run.') from None
        entries.append((step, entry))
    return entries


def running_mean(values: Sequence[float]) -> list[float]:
    """Mean of each value and those before it, over a fiftieth of the curve; NaN and inf are left out."""
    window = max(1, len(values) // POINTS_OF_MEAN)
    means = []
    for end in range(1, len(values) + 1):
        known = [value for value in values[max(0, end - window) : end] if math.isfinite(value)]
        means.append(sum(known) / len(known) if known else math.nan)
    return means


def _names(runs: Sequence[str | Path]) -> list[str]:
    """A name for each run: the last part of its path, or the whole path if two would be equal."""
    short = [Path(run).resolve() for run in runs]
    short = [path.parents[2] if path.name == 'scalars.json' and len(path.parents) > 2 else path for path in short]
    names = [path.name for path in short]
    names = [name if names.count(name) == 1 else str(run) for name, run in zip(names, runs)]
    if len(set(names)) < len(names):
        raise DataError('The same run was given twice; give each once.')
    return names
