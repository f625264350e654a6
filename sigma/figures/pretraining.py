"""Curves of pretraining runs from their logs, in groups that say what is healthy. Needs no torch."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sigma.errors import DataError

PAPER_WIDTH_INCHES = 7.0
PER_LINE = 4
PANEL_HEIGHT, GROUP_HEIGHT = 1.0, 0.4  # inches: of a line of panels, of the words around a group
# The palette of Okabe and Ito, which works for all kinds of colour vision; as in the figures of results.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#222222')
DASHES: tuple[Any, ...] = ('-', (0, (4, 1.2)), (0, (1, 1)), (0, (4, 1, 1, 1)))  # once the colours have been used
# Clocks and counters, not worth a curve.
LEFT_OUT = {'base_lr', 'data_time', 'time', 'epoch', 'iter', 'step', 'memory', 'undecodable_videos', 'knn/clips_scored'}
FEW_POINTS = 20  # up to this many points get markers, since nothing was measured in between
POINTS_OF_MEAN = 50  # the window of the running mean is this fraction of the curve
LOGARITHMIC = {'row_mass_error'}
REFERENCES = {'knn/top1': 'knn/random_top1'}  # quantity -> what it is drawn beside, as a dotted line


class Group(NamedTuple):
    """Panels that are read together."""

    title: str
    panels: dict[str, str]  # quantity -> title of its panel, with the unit
    healthy: dict[str, str]  # quantity -> what to expect of it and its like; said if it is drawn

    def sentence(self) -> str:
        """What to expect of what is drawn."""
        said = [text for quantity, text in self.healthy.items() if quantity in self.panels]
        return f'Healthy: {"; ".join(dict.fromkeys(said))}.' if said else ''


# A part of the loss -> what the whole loss is called. Losses of different kinds have different scales, so each kind has
# a panel of its own.
KINDS = {
    'loss_pred': 'loss, cross-entropy (nats)',
    'loss_pixels': 'loss, pixels (squared error)',
    'loss_l2': 'loss, features (squared error)',
}
GROUPS = (
    Group(
        'Loss',
        {
            'loss': 'loss',
            **{f'loss of {part}': title for part, title in KINDS.items()},
            'loss_pred': 'part of predictions (nats)',
            'loss_target': 'part of targets (nats)',
        },
        {
            'loss': 'falls and levels off',
            **dict.fromkeys(map('loss of {}'.format, KINDS), 'falls and levels off'),
            'loss_target': 'both parts of the cross-entropy stay close',
        },
    ),
    Group(
        'Codes',
        {
            'agreement': 'branches agree (share)',
            'prototypes_used': 'prototypes used (share)',
            'window_used': 'used in a window (share)',
            'code_entropy': 'entropy of codes (0 to 1)',
            'window_entropy': 'entropy, window (0 to 1)',
            'assignment_churn': 'targets reassigned (share)',
            'row_mass_error': 'row mass error (log scale)',
        },
        {
            'agreement': 'agreement rises from 1 / prototypes',
            'window_entropy': 'entropy over a window stays above 0.65',
            'assignment_churn': 'fewer and fewer targets are reassigned',
            'row_mass_error': 'row mass error stays near 0',
        },
    ),
    Group(
        'Features',
        {
            'feature_std': 'spread of predictions',
            'effective_rank': 'rank of predictions',
            'target_std': 'standard deviation of targets',
            'target_spread': 'spread of targets',
            'target_rank': 'rank of targets',
            'target_scale': 'scale of targets',
            'knn/top1': 'kNN top-1 (%), dotted: random',
        },
        {
            'feature_std': 'spreads stay far from 0 (a dip that recovers is harmless)',
            'effective_rank': 'ranks stay far from 1',
            'knn/top1': 'kNN rises above the dotted line of random weights',
        },
    ),
    Group(
        'Speed',
        {'lr': 'learning rate', 'clips_per_second': 'clips per second', 'data_wait_percent': 'wait for data (%)'},
        {
            'clips_per_second': 'clips per second stay even',
            'data_wait_percent': 'waiting for data takes less than about 10 % of the time',
        },
    ),
)
OTHER = 'Other'

Curve = tuple[list[int], list[float]]


def draw_pretraining(runs: Sequence[str | Path]) -> Figure:
    """Losses and diagnostics over training steps: one panel per quantity, one colour per run, a sentence per group.

    Thin lines are the logged values, thick lines their running mean over a fiftieth of the curve. After a resume, the
    later log counts; NaN leaves a gap. Losses of different kinds, such as cross-entropy and squared error, have panels
    of their own.

    Args:
        runs: Work directories of `tools/train.py`, or their `scalars.json`.

    Returns:
        A figure of page width, with a panel for every quantity that at least one run has.

    Raises:
        DataError: if a run has no log, or a line of it is malformed (except the last, which a kill may cut off).
    """
    if not runs:
        raise DataError('No run was given; give work directories of tools/train.py.')
    curves = {name: _by_kind(read_curves(run)) for name, run in zip(_names(runs), runs)}
    groups = _groups({quantity for by_quantity in curves.values() for quantity in by_quantity})
    lines = [math.ceil(len(group.panels) / PER_LINE) for group in groups]
    heights = [number * PANEL_HEIGHT + GROUP_HEIGHT for number in lines]
    labels = [_shortened(name) for name in curves]
    legend_lines = math.ceil(len(labels) / 2)
    height = sum(heights) + 0.14 * legend_lines + 0.25
    last = max((steps[-1] for of_run in curves.values() for steps, _ in of_run.values()), default=1)
    style: Any = {'font.size': 7, 'axes.spines.top': False, 'axes.spines.right': False, 'text.parse_math': False}
    with matplotlib.rc_context(style):
        figure = Figure((PAPER_WIDTH_INCHES, height), layout='constrained')
        handles = [Line2D([], [], linewidth=1.2, **_look(number)) for number in range(len(labels))]
        figure.legend(
            handles,
            labels,
            loc='outside upper center',
            ncols=2,
            frameon=False,
            borderaxespad=0.1,
            title='thin: every logged step; thick: running mean over a fiftieth of the curve',
            title_fontsize=6.5,
        )
        parts = figure.subfigures(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
        for group, part, number in zip(groups, parts, lines):
            part.suptitle(group.title, x=0.01, ha='left', fontsize=8, fontweight='bold')
            panels = part.subplots(number, PER_LINE, squeeze=False, sharex=True)
            for axis in panels.flatten()[len(group.panels) :]:
                axis.set_visible(False)
            for axis, (quantity, title) in zip(panels.flatten(), group.panels.items()):
                _draw_panel(axis, quantity, title, curves, last)
            for axis in panels.flatten()[: len(group.panels)][-PER_LINE:]:  # no panel is below them
                axis.tick_params(labelbottom=True)
                axis.set_xlabel('step', fontsize=6, labelpad=1)
            if said := group.sentence():
                part.supxlabel('\n'.join(textwrap.wrap(said, 125)), x=0.01, ha='left', fontsize=7, color='#555555')
    return figure


def _by_kind(curves: dict[str, Curve]) -> dict[str, Curve]:
    """The curves of a run, with its loss under the name of its kind, and without a part that is the whole loss."""
    parts = [part for part in KINDS if part in curves]
    all_parts = [quantity for quantity in curves if quantity.startswith('loss_')]
    if 'loss' not in curves or len(parts) != 1:
        return curves
    named = {f'loss of {parts[0]}' if quantity == 'loss' else quantity: curve for quantity, curve in curves.items()}
    if all_parts == parts and curves[parts[0]] == curves['loss']:
        del named[parts[0]]
    return named


def _groups(found: set[str]) -> list[Group]:
    """The groups with their panels that some run has; what is in no group comes last."""
    groups = [
        group._replace(panels={quantity: title for quantity, title in group.panels.items() if quantity in found})
        for group in GROUPS
    ]
    known = {quantity for group in GROUPS for quantity in group.panels} | set(REFERENCES.values())
    other = {quantity: quantity.replace('_', ' ') for quantity in sorted(found - known)}
    return [group for group in (*groups, Group(OTHER, other, {})) if group.panels]


def _draw_panel(axis: Axes, quantity: str, title: str, curves: Mapping[str, dict[str, Curve]], last: int) -> None:
    axis.set_title(title, fontsize=7)
    for number, (name, by_quantity) in enumerate(curves.items()):
        if quantity not in by_quantity:
            continue
        steps, values = by_quantity[quantity]
        look = _look(number)
        axis.plot(steps, values, linewidth=0.4, alpha=0.4, color=look['color'])
        dot = '.' if len(steps) <= FEW_POINTS else None
        axis.plot(steps, running_mean(values), linewidth=1.0, label=name, marker=dot, **look)
        if (beside := by_quantity.get(REFERENCES.get(quantity, ''))) is not None:
            axis.plot([0, last], [beside[1][-1]] * 2, linewidth=0.8, color=look['color'], linestyle=':')
    axis.set_xlim(0, last)  # the same axis for all: some quantities start later, with their first window
    axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    if quantity in LOGARITHMIC and any(
        value > 0 for of_run in curves.values() for value in of_run.get(quantity, ((), ()))[1]
    ):
        axis.set_yscale('log')
    else:
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:.4g}'))
    axis.tick_params(labelsize=6, length=2, pad=1.5)


def _look(number: int) -> dict[str, Any]:
    """Colour and dashes of a run."""
    turn, place = divmod(number, len(COLOURS))
    return {'color': COLOURS[place], 'linestyle': DASHES[turn % len(DASHES)]}


def _shortened(name: str, most: int = 60) -> str:
    return name if len(name) <= most else f'{name[: most // 2]}…{name[-(most // 2 - 1) :]}'


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
    """A name for each run: its folder (or the whole path if two would be equal), and its config where that differs."""
    folders = [Path(run).resolve() for run in runs]
    folders = [path.parents[2] if path.name == 'scalars.json' and len(path.parents) > 2 else path for path in folders]
    names = [folder.name for folder in folders]
    names = [name if names.count(name) == 1 else str(run) for name, run in zip(names, runs)]
    if len(set(names)) < len(names):
        raise DataError('The same run was given twice; give each once.')
    configs = [_config(folder) for folder in folders]
    return [name if config in (None, name) else f'{name} ({config})' for name, config in zip(names, configs)]


def _config(folder: Path) -> str | None:
    """Name of the config that a training left in its folder; None if there is none, or several."""
    found = [path.stem for path in folder.glob('*.py')]
    return found[0] if len(found) == 1 else None
