"""The motions of the rendered dataset: one form per kind of task, with its labels and exact ground truth.

`action_recognition`: ten orders of visiting the 16 phases of an orbit, see render.py.

`rhythms` (granularity): every class makes one turn and speeds up at another place. The turn is cut by
f(u) = u + b sin(2 pi u) into 16 unequal steps, the longest around u = 0, and class k gets there at sampled frame k: its
phase at frame t is 16 f((t - k) / 16). Hence the sampled frames without their order are, for one scene, the same 16
pictures in every class, and one frame shows a uniform phase: neither tells anything. The direction is random, so a
mirror does not change the class. Played backwards, class 4 is almost class 12.

`speeds` (granularity): 1.0 to 1.8 turns per clip at constant speed, in a random direction. One frame tells nothing. A
bag of frames does tell the class to a model that measures positions well: the 16 points are r / 16 turns apart, and if
r is not 1 the last ones fall between the first. This form needs a fine measure of motion, not only order.

`repetition`: a mover circles or swings, 2 to 8 whole cycles whose period drifts by up to 20 %, in a clip of 64 to 96
frames. Half of the clips start, and half end, with up to a tenth of still time. Scene, length and still time are drawn
independently of the count. One frame tells nothing about it; the speed tells much.

`two_movers` (multi-label): two movers rest except for one interval each, in which one of six motions runs through one
or two whole periods, so the mover returns to where it was. Resting places and angles are random, so one frame tells
little: only a mover larger or smaller than any at rest is conspicuous. A bag of frames tells everything but the
direction of a circle. Both movers may make the same motion; that is one label.

`localization`: long clips of the same two movers; three to five times, one of them moves as in `two_movers`, never both
at once, and rests in between. An action starts at the frame after the last one at rest and ends at the first one at
rest again; both are exact, since we render them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigma.datasets.toy.scenes import (
    NUM_PHASES,
    Domain,
    Look,
    Pair,
    Pose,
    Scene,
    draw_pair,
    draw_round_or_flat,
    draw_scene,
)

Label = str | int | tuple[str, ...]  # a class, a count, or several classes


@dataclass(frozen=True)
class Motion:
    """What happens in a clip.

    Attributes:
        places: One per frame, as the scene's `frame` takes it.
        annotation: What a label cannot say, as `annotations.json` has it: `cycles` or `actions`.
    """

    places: list
    annotation: dict | None = None


@dataclass(frozen=True)
class Form:
    """A task's form of the dataset.

    Attributes:
        task: The card's task; decides what a label is.
        metric: The card's metric.
        classes: In alphabetical order; empty if labels are counts.
        num_clips: (train, test) per class, or per split if labels are not classes.
        flips_change_label: Whether a mirrored clip may have another class.
        stride_frames: From one sampled frame to the next, in a domain.
        motion: Makes the motion from label, clip number, domain and a generator that is independent of the label.
        draw: Draws a scene.
        label_of: Label of the clip with a given number; None if labels are classes.
    """

    task: str
    metric: str
    classes: tuple[str, ...]
    num_clips: tuple[int, int]
    flips_change_label: bool
    motion: Callable[[Any, int, Domain, np.random.Generator], Motion]
    draw: Callable[[np.random.Generator, Look, str], Scene | Pair] = draw_scene
    stride_frames: Callable[[Domain], int] = lambda domain: domain.stride_frames
    label_of: Callable[[int], Label] | None = None


# ----------------------------------------------------------------------------------- orders of visiting an orbit

_ROUND = tuple(range(NUM_PHASES))
VISITS = {
    'back': (0, 3, 6, 9, 12, 15, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1),
    'swing': (0, 3, 6, 5, 4, 7, 10, 9, 8, 11, 14, 13, 12, 15, 2, 1),
    'turn1': _ROUND,
    'turn2': _ROUND[0::2] + _ROUND[1::2],
    'turn3': tuple(3 * step % NUM_PHASES for step in _ROUND),
}


def visited_phases(label: str) -> tuple[int, ...]:
    """The 16 phases in the order in which a class visits them. On screen, increasing phases run clockwise."""
    visit, _, direction = label.rpartition('_')
    sign = {'cw': 1, 'ccw': -1}[direction]
    return tuple(sign * phase % NUM_PHASES for phase in VISITS[visit])


def orbit_phases(label: str, stride_frames: int) -> list[float]:
    """The phase at each frame of a clip of 16 x `stride_frames` frames.

    Whole numbers at sampled frames. In between, the mover takes the shorter arc; after the last it continues as before.
    """
    visited = np.array(visited_phases(label))
    half = NUM_PHASES // 2
    steps = (np.diff(visited) + half) % NUM_PHASES - half
    steps = np.append(steps, steps[-1])
    parts = np.arange(stride_frames) / stride_frames
    return ((visited[:, None] + steps[:, None] * parts) % NUM_PHASES).ravel().tolist()


def _visit(label: str, number: int, domain: Domain, rng: np.random.Generator) -> Motion:
    return Motion(orbit_phases(label, domain.stride_frames))


# --------------------------------------------------------------------------------------------- rhythms and speeds

HURRY = 0.1  # b of f(u) = u + b sin(2 pi u): speeds between 0.37 and 1.63 of the mean
RHYTHMS = {f'hurry_at_{frame:02d}': frame for frame in (0, 4, 8, 12)}  # the sampled frame of the greatest speed
SPEEDS = {f'turns_{turns}': turns for turns in (1.0, 1.2, 1.4, 1.6, 1.8)}  # a clip


def rhythm_phases(label: str, stride_frames: int) -> list[float]:
    """The phase at each frame of a turn that is fastest at the class's sampled frame: 16 x `stride_frames` values.

    At sampled frames these are, for every class, the same 16 numbers in another order, bit for bit.
    """
    num_frames = NUM_PHASES * stride_frames
    u = np.arange(num_frames) / num_frames
    turn = NUM_PHASES * (u + HURRY * np.sin(2 * np.pi * u))
    return np.roll(turn, RHYTHMS[label] * stride_frames).tolist()


def _rhythm(label: str, number: int, domain: Domain, rng: np.random.Generator) -> Motion:
    sign = _direction(rng)
    return Motion([sign * phase for phase in rhythm_phases(label, domain.stride_frames)])


def _speed(label: str, number: int, domain: Domain, rng: np.random.Generator) -> Motion:
    step = _direction(rng) * SPEEDS[label] / domain.stride_frames
    return Motion([step * frame for frame in range(NUM_PHASES * domain.stride_frames)])


def _direction(rng: np.random.Generator) -> int:
    """1 is clockwise on screen."""
    return int(rng.choice((-1, 1)))


# ---------------------------------------------------------------------------------------------------- repetition

COUNTS = range(2, 9)
REPETITION_FRAMES = (64, 96)  # of a clip, both included; the shortest cycle then takes 5 frames
MOST_STILL = 0.1  # of a clip, before the first cycle, and after the last
DRIFT = 0.2  # of the period, at most


def _repeat(count: int, number: int, domain: Domain, rng: np.random.Generator) -> Motion:
    """`count` cycles whose period drifts once up and down; `cycles` are the frames at which they begin and end.

    Cycle c begins at the share c + drift / (2 pi) (sin(2 pi c + phase) - sin(phase)) of the moving time, c in [0, 1].
    """
    num_frames = int(rng.integers(*REPETITION_FRAMES, endpoint=True))
    still = rng.integers(0, int(MOST_STILL * num_frames), 2, endpoint=True) * (rng.random(2) < 0.5)
    sign, drift, phase = _direction(rng), rng.uniform(0, DRIFT), rng.uniform(0, 2 * math.pi)
    first, last = int(still[0]), num_frames - 1 - int(still[1])

    def frame_of(progress: np.ndarray) -> np.ndarray:
        wave = np.sin(2 * np.pi * progress + phase) - math.sin(phase)
        return first + (last - first) * (progress + drift / (2 * math.pi) * wave)

    progress = np.linspace(0, 1, 4001)
    done = np.interp(np.arange(num_frames), frame_of(progress), progress)  # 0 before the first, 1 after the last
    cycles = np.rint(frame_of(np.arange(count + 1) / count)).astype(int).tolist()
    # (done * count) % 1: after whole cycles the clip is as it began
    return Motion((sign * NUM_PHASES * ((done * count) % 1)).tolist(), {'cycles': cycles})


# ---------------------------------------------------------------------------------------------------- two movers

PAIR_FRAMES = 64
ACTION_FRAMES = (24, 48)  # of an interval, both included; from 36 on it holds two periods
MOTIONS: dict[str, Callable[[float, float, float], Pose]] = {
    # from the angle within the period, an amplitude in [-1, 1] (its sign is a direction), and a direction in radians
    'circle_ccw': lambda angle, amplitude, towards: _circle(-angle, amplitude, towards),
    'circle_cw': lambda angle, amplitude, towards: _circle(angle, amplitude, towards),
    'grow_and_shrink': lambda angle, amplitude, towards: Pose(scale=1 + 0.4 * amplitude * math.sin(angle)),
    'spin': lambda angle, amplitude, towards: Pose(turn=math.copysign(angle, amplitude)),
    'to_and_fro': lambda angle, amplitude, towards: Pose(x=0.15 * amplitude * math.sin(angle)),
    'up_and_down': lambda angle, amplitude, towards: Pose(y=0.15 * amplitude * math.sin(angle)),
}


def _circle(angle: float, amplitude: float, towards: float) -> Pose:
    """A place on a circle through the home, whose middle lies `towards` an angle; y points down, so cw grows."""
    radius = 0.11 * abs(amplitude)
    x, y = math.cos(towards) - math.cos(towards + angle), math.sin(towards) - math.sin(towards + angle)
    return Pose(x=radius * x, y=radius * y)


def motions_of(number: int) -> tuple[str, str]:
    """The motions of the two movers of a clip: each of the 36 pairs once in 36 clips."""
    names = list(MOTIONS)
    return names[number % len(names)], names[number // len(names) % len(names)]


def _labels_of(number: int) -> tuple[str, ...]:
    return tuple(sorted(set(motions_of(number))))


def _move_two(label: tuple[str, ...], number: int, domain: Domain, rng: np.random.Generator) -> Motion:
    """`actions` are [start, end, class] in seconds; frame n is at n / fps, and the mover rests at start and end."""
    tracks, actions = [], []
    for name in motions_of(number):
        length = int(rng.integers(*ACTION_FRAMES, endpoint=True))
        start = int(rng.integers(0, PAIR_FRAMES - length))
        amplitude, towards = rng.uniform(0.7, 1.0) * _direction(rng), rng.uniform(0, 2 * math.pi)
        periods = 1 if length < 36 else 2
        within = np.arange(1, length) * periods / length % 1
        rest = [Pose()] * (start + 1)  # it leaves after frame `start`
        moves = [MOTIONS[name](2 * math.pi * part, amplitude, towards) for part in within]
        tracks.append(rest + moves + [Pose()] * (PAIR_FRAMES - start - length))
        actions.append([round(start / domain.fps, 6), round((start + length) / domain.fps, 6), name])
    return Motion(list(zip(*tracks)), {'actions': sorted(actions)})


# -------------------------------------------------------------------------------------------------- localization

LONG_FRAMES = 320
NUM_ACTIONS = (3, 5)  # of a clip, both included
LONG_ACTION_FRAMES = (32, 56)  # of an action, both included; a period takes about 24
LEAST_REST = 6  # frames between two actions, at the beginning, and at the end


def actions_of(number: int) -> tuple[str, ...]:
    """The motions of a long clip in their order; they follow from its number alone."""
    rng = np.random.default_rng([77, number])
    return tuple(rng.choice(list(MOTIONS), rng.integers(*NUM_ACTIONS, endpoint=True)).tolist())


def _move_in_turn(label: tuple[str, ...], number: int, domain: Domain, rng: np.random.Generator) -> Motion:
    """`actions` are [start, end, class] in seconds; frame n is at n / fps, and the mover rests at start and end."""
    names = actions_of(number)
    lengths = rng.integers(*LONG_ACTION_FRAMES, size=len(names), endpoint=True)
    spare = LONG_FRAMES - 1 - int(lengths.sum()) - LEAST_REST * (len(names) + 1)
    cuts = np.sort(rng.integers(0, spare + 1, len(names)))  # how the spare rest is shared out
    tracks = [[Pose()] * LONG_FRAMES, [Pose()] * LONG_FRAMES]
    actions = []
    for place, (name, length, cut) in enumerate(zip(names, lengths.tolist(), cuts.tolist())):
        start = int(lengths[:place].sum()) + LEAST_REST * (place + 1) + cut
        amplitude, towards = rng.uniform(0.7, 1.0) * _direction(rng), rng.uniform(0, 2 * math.pi)
        within = np.arange(1, length) * round(length / 24) / length % 1
        mover = tracks[int(rng.integers(2))]
        mover[start + 1 : start + length] = [MOTIONS[name](2 * math.pi * part, amplitude, towards) for part in within]
        actions.append([round(start / domain.fps, 6), round((start + length) / domain.fps, 6), name])
    return Motion(list(zip(*tracks)), {'actions': actions})


# --------------------------------------------------------------------------------------------------------- forms

# The place of a form in this list enters the random numbers of its clips: add new ones at the end.
FORMS = {
    'action_recognition': Form(
        task='action_recognition',
        metric='top1',
        classes=tuple(f'{visit}_{direction}' for visit in VISITS for direction in ('ccw', 'cw')),
        num_clips=(160, 40),
        flips_change_label=True,
        motion=_visit,
    ),
    'rhythms': Form(
        task='action_recognition',
        metric='mean_class',
        classes=tuple(RHYTHMS),
        num_clips=(80, 40),
        flips_change_label=False,
        motion=_rhythm,
    ),
    'speeds': Form(
        task='action_recognition',
        metric='mean_class',
        classes=tuple(SPEEDS),
        num_clips=(80, 40),
        flips_change_label=False,
        motion=_speed,
    ),
    'repetition': Form(
        task='repetition',
        metric='count_error',
        classes=(),
        num_clips=(240, 100),
        flips_change_label=False,
        motion=_repeat,
        draw=draw_round_or_flat,
        label_of=lambda number: COUNTS[number % len(COUNTS)],
    ),
    'two_movers': Form(
        task='multi_label',
        metric='mean_average_precision',
        classes=tuple(MOTIONS),
        num_clips=(240, 100),
        flips_change_label=True,
        motion=_move_two,
        draw=draw_pair,
        stride_frames=lambda domain: PAIR_FRAMES // NUM_PHASES,
        label_of=_labels_of,
    ),
    'localization': Form(
        task='localization',
        metric='map_30_70',
        classes=tuple(MOTIONS),
        num_clips=(80, 30),
        flips_change_label=True,
        motion=_move_in_turn,
        draw=draw_pair,
        label_of=lambda number: tuple(sorted(set(actions_of(number)))),
    ),
}
