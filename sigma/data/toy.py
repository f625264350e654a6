"""The rendered dataset `toy`: photographs that move over other photographs, and a label that only motion can tell.

A scene is a patch of a photograph (the mover) on a closed orbit over a background cut from another photograph. The orbit
is an ellipse with 16 equally spaced phases. A clip of action recognition shows all 16, each exactly once, at its sampled
frames (16 frames, `stride_frames` apart; the frames between follow the motion); its class is the order of the visit:

    turn1, turn2, turn3   one, two or three turns      0 1 2 .. 15 | 0 2 .. 14 1 3 .. 15 | 0 3 6 .. (3t mod 16)
    back                  there and back               0 2 .. 14 15 13 .. 1
    swing                 to and fro, twice            0 4 8 12 13 9 5 1 2 6 10 14 15 11 7 3

each clockwise (`_cw`) and counter-clockwise first (`_ccw`): ten classes. The phase at which a clip starts is uniform on
the circle, and photographs, sizes, colours, centre, radii and tilt are drawn without knowledge of the class. Hence:

* One frame, at any time, shows a phase that is uniform whatever the class: it tells nothing.
* The sampled frames without their order are, for one scene, the same 16 pictures in every class, byte for byte: they tell
  nothing either. It also holds after decoding, for every sampled frame is a key frame coded with a constant quantiser.

This departs from the list of motions in DESIGN.md (left, right, zoom, ...): a bag of frames gives away the axis of a
straight motion, so these could not be used to show that a model has learnt motion. A bag of *other* frames than the
sampled ones (another stride) is not covered. A mirror exchanges clockwise and counter-clockwise, so flips change labels.

Geometry is in units of the frame's side, so that a seed draws the same scenes at 64 and at 112 pixels.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

NUM_PHASES = 16
_TURN = tuple(range(NUM_PHASES))
_EVENS_ODDS = _TURN[0::2] + _TURN[1::2]
VISITS = {
    'turn1': _TURN,
    'turn2': _EVENS_ODDS,
    'turn3': tuple(3 * t % NUM_PHASES for t in _TURN),
    'back': (0, 3, 6, 9, 12, 15, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1),
    'swing': (0, 3, 6, 5, 4, 7, 10, 9, 8, 11, 14, 13, 12, 15, 2, 1),
}
CLASSES = tuple(f'{visit}_{direction}' for visit in VISITS for direction in ('cw', 'ccw'))


@dataclass(frozen=True)
class Domain:
    """Where a dataset's pictures come from and how its frames follow each other."""

    name: str
    photographs: dict
    fps: int
    stride_frames: int


DOMAINS = {
    'main': Domain(
        name='toy',
        photographs=dict(
            train=(
                'astronaut.png',
                'coffee.png',
                'motorcycle_left.png',
                'coins.png',
                'ihc.png',
                'gravel.png',
            ),
            test=('chelsea.png', 'rocket.jpg', 'camera.png', 'brick.png', 'retina.jpg'),
        ),
        fps=25,
        stride_frames=2,
    ),
    'shift': Domain(
        name='toy_shift',
        photographs=dict(
            train=('hubble_deep_field.jpg', 'grass.png', 'page.png', 'moon.png'),
            test=('cell.png', 'clock_motion.png', 'text.png'),
        ),
        fps=30,
        stride_frames=3,
    ),
}


@dataclass(frozen=True)
class Level:
    mover_side: tuple
    orbit_radius: tuple
    centre_jitter: float
    background_mean: float
    background_texture: float
    background_blur: float


LEVELS = {
    'easy': Level((0.34, 0.53), (0.17, 0.27), 0.06, 0.35, 0.15, 0.06),
    'hard': Level((0.22, 0.34), (0.17, 0.27), 0.10, 0.0, 1.0, 0.0),
}


@cache
def photograph(name):
    from PIL import Image

    folder = Path(importlib.util.find_spec('skimage').submodule_search_locations[0]) / 'data'
    image = Image.open(folder / name).convert('RGB')
    image.thumbnail((512, 512), Image.Resampling.LANCZOS)
    return np.asarray(image)


def visited_phases(label):
    visit, direction = label.rsplit('_', 1)
    sign = 1 if direction == 'cw' else -1
    return tuple(sign * p % NUM_PHASES for p in VISITS[visit])


def phase_path(label, num_frames, stride_frames):
    """phase of every frame, unwrapped steps the short way round."""
    visited = np.array(visited_phases(label))
    steps = (np.diff(visited) + NUM_PHASES // 2) % NUM_PHASES - NUM_PHASES // 2
    steps = np.append(steps, steps[-1])
    path = []
    for frame in range(num_frames):
        i, r = divmod(frame, stride_frames)
        path.append((visited[i] + steps[i] * r / stride_frames) % NUM_PHASES)
    return path


def _cut(rng, names, share):
    image = photograph(names[rng.integers(len(names))])
    side = int(min(image.shape[:2]) * rng.uniform(*share))
    y = rng.integers(image.shape[0] - side + 1)
    x = rng.integers(image.shape[1] - side + 1)
    return image[y : y + side, x : x + side]


@dataclass
class Scene:
    background: np.ndarray
    mover: np.ndarray
    centre: tuple
    radii: tuple
    tilt: float
    offset: float
    rock: tuple

    def render(self, phase):
        angle = self.offset + 2 * math.pi * phase / NUM_PHASES
        u, v = self.radii[0] * math.cos(angle), self.radii[1] * math.sin(angle)
        c, s = math.cos(self.tilt), math.sin(self.tilt)
        x, y = self.centre[0] + c * u - s * v, self.centre[1] + s * u + c * v
        turn = self.rock[0] * math.sin(angle + self.rock[1])
        size, m = self.background.shape[0], self.mover.shape[0]
        c, s = math.cos(turn), math.sin(turn)
        x, y, mid = x * size - 0.5, y * size - 0.5, (m - 1) / 2
        matrix = np.array([[c, -s, x - c * mid + s * mid], [s, c, y - s * mid - c * mid]])
        layer = cv2.warpAffine(self.mover, matrix, (size, size), flags=cv2.INTER_LINEAR)
        frame = self.background * (1 - layer[..., 3:]) + layer[..., :3]
        return np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def draw_scene(rng, names, level, size):
    bg = _cut(rng, names, (0.5, 1.0))
    bg = cv2.resize(bg, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    if level.background_blur:
        bg = cv2.GaussianBlur(bg, (0, 0), level.background_blur * size, borderType=cv2.BORDER_REFLECT)
    bg = level.background_mean * bg.mean((0, 1)) + level.background_texture * bg
    bg *= rng.uniform(0.8, 1.2, 3).astype(np.float32)
    side = rng.uniform(*level.mover_side) * size
    aspect = rng.uniform(0.8, 1.25)
    power = rng.uniform(2, 6)
    best, best_contrast = None, -1
    for _ in range(8):
        cut = _cut(rng, names, (0.15, 0.5))
        c = cut.mean()
        if c > best_contrast:
            best, best_contrast = cut, c
    m = int(math.ceil(side * 1.25)) + 2
    patch = cv2.resize(best, (m, m), interpolation=cv2.INTER_AREA if best.shape[0] > m else cv2.INTER_CUBIC).astype(
        np.float32
    )
    patch *= rng.uniform(0.8, 1.2, 3).astype(np.float32)
    grid = (np.arange(m) - (m - 1) / 2) / (side / 2)
    xx, yy = np.meshgrid(grid * math.sqrt(aspect), grid / math.sqrt(aspect))
    radius = (np.abs(xx) ** power + np.abs(yy) ** power) ** (1 / power)
    alpha = np.clip((1 - radius) * side / 2 / 1.5 + 0.5, 0, 1).astype(np.float32)
    mover = np.dstack([np.clip(patch, 0, 255) * alpha[..., None], alpha])
    return Scene(
        bg,
        mover,
        tuple(0.5 + rng.uniform(-1, 1, 2) * level.centre_jitter),
        tuple(rng.uniform(*level.orbit_radius, 2)),
        rng.uniform(0, math.pi),
        rng.uniform(0, 2 * math.pi),
        (rng.uniform(0, 0.5), rng.uniform(0, 2 * math.pi)),
    )
