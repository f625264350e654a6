"""The pictures of the rendered dataset: patches of photographs (movers) laid over cuts of other photographs.

A scene is everything in a clip except its motion, and is drawn independently of it. Geometry is in units of the frame's
side, so a seed draws the same scenes at 64 and at 112 pixels. Exposure is set, not left to the photograph: an easy
background is blurred and low in contrast, but never flat (standardised per tubelet, a flat one is coding noise), and an
easy mover is brighter than its background.
"""

import functools
import importlib.util
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sigma.errors import DataError

# --------------------------------------------------------------------------------------------------- what is drawn

NUM_PHASES = 16  # of an orbit: the sampled frames of a clip


@dataclass(frozen=True)
class Domain:
    """Where the pictures come from, and the frame rate.

    `photographs` are files that scikit-image ships inside its package; no photograph is in two splits or domains.
    """

    name: str
    photographs: dict[str, tuple[str, ...]]
    fps: int
    stride_frames: int
    mover_scale: float = 1.0
    background_scale: float = 1.0


DOMAINS = {
    'main': Domain(
        name='toy',
        photographs={
            'train': ('astronaut.png', 'coffee.png', 'motorcycle_left.png', 'coins.png', 'ihc.png', 'gravel.png'),
            'test': ('chelsea.png', 'rocket.jpg', 'camera.png', 'brick.png'),
        },
        fps=25,
        stride_frames=2,
    ),
    'shift': Domain(
        name='toy_shift',
        photographs={
            'train': ('hubble_deep_field.jpg', 'grass.png', 'page.png', 'moon.png'),
            'test': ('retina.jpg', 'cell.png', 'clock_motion.png', 'text.png'),
        },
        fps=30,
        stride_frames=3,
        mover_scale=0.9,
        background_scale=1.5,
    ),
}


@dataclass(frozen=True)
class Level:
    """How hard a scene is; each pair is a uniform range.

    Lengths are in units of the frame's side, exposures (mean and standard deviation) in grey levels from 0 to 255.
    """

    mover_side: tuple[float, float]
    orbit_radius: tuple[float, float]
    centre_jitter: float
    background_blur: float  # standard deviation of the Gaussian; 0 keeps the photograph's texture
    background_mean: tuple[float, float]
    background_std: tuple[float, float]
    mover_mean: tuple[float, float]
    mover_std: tuple[float, float]


LEVELS = {
    'easy': Level((0.36, 0.53), (0.19, 0.235), 0.03, 0.06, (50, 85), (7, 13), (165, 205), (20, 36)),
    # Mover and background have the same brightness, contrast and texture: only motion tells where the mover is.
    'alike': Level((0.36, 0.53), (0.19, 0.235), 0.03, 0.0, (95, 150), (30, 50), (95, 150), (30, 50)),
    'hard': Level((0.22, 0.34), (0.17, 0.27), 0.10, 0.0, (80, 150), (30, 55), (80, 200), (35, 60)),
}


@dataclass(frozen=True)
class Look:
    """How a dataset looks, whatever moves in it.

    Attributes:
        domain: A key of DOMAINS.
        level: A key of LEVELS.
        size: Pixels per side, even, at least 32; 64 and 112 are the presets.
    """

    domain: str = 'main'
    level: str = 'easy'
    size: int = 64


# ---------------------------------------------------------------------------------------------------------- scenes


@functools.cache
def photograph(name: str) -> np.ndarray:
    """A photograph of scikit-image's package as (H, W, 3) uint8 RGB, longer side at most 512; never downloaded.

    Raises:
        DataError: if scikit-image is not installed, or ships no such file.
    """
    from PIL import Image

    package = importlib.util.find_spec('skimage')
    if package is None or not package.submodule_search_locations:
        raise DataError(
            'The toy dataset is cut from photographs of scikit-image, which is not installed: pip install scikit-image.'
        )
    file = Path(package.submodule_search_locations[0]) / 'data' / name
    if not file.is_file():
        raise DataError(
            f"The installed scikit-image has no photograph '{file}': install the version pinned in requirements/."
        )
    with Image.open(file) as stored:
        image = stored.convert('RGB')
    image.thumbnail((512, 512), Image.Resampling.LANCZOS)
    return np.asarray(image)


@dataclass(frozen=True)
class Scene:
    """A mover on its orbit, an ellipse.

    Attributes:
        background: (S, S, 3) float32, 0 to 255; S pixels per side.
        mover: (M, M, 4) float32: the patch times its soft mask, and the mask (0 to 1).
        centre, radii: Of the orbit, (x, y) in units of the side.
        tilt, start: Angles of the ellipse and of its phase 0, in radians.
        rock: (amplitude, phase) in radians of the mover's own rotation, which depends on the place on the orbit.
    """

    background: np.ndarray
    mover: np.ndarray
    centre: tuple[float, float]
    radii: tuple[float, float]
    tilt: float
    start: float
    rock: tuple[float, float]

    def frame(self, phase: float) -> np.ndarray:
        """The picture with the mover at a phase (16 phases make a turn): (S, S, 3) uint8."""
        turn = self.rock[0] * math.sin(self._angle(phase) + self.rock[1])
        return _picture(_lay(self.background, self.mover, self.place(phase), turn))

    def place(self, phase: float) -> tuple[float, float]:
        """(x, y) of the mover's middle at a phase, in units of the side."""
        angle = self._angle(phase)
        along, across = self.radii[0] * math.cos(angle), self.radii[1] * math.sin(angle)
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return self.centre[0] + cos * along - sin * across, self.centre[1] + sin * along + cos * across

    def _angle(self, phase: float) -> float:
        return self.start + 2 * math.pi * phase / NUM_PHASES


@dataclass(frozen=True)
class Pose:
    """Offset of a mover of a pair from its rest: shift in units of the side, turn in radians, scale as a factor."""

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Pair:
    """Two movers, each at its own place.

    Attributes:
        background: (S, S, 3) float32, 0 to 255; S pixels per side.
        movers: Two (M, M, 4) float32, as in `Scene`; the second is laid over the first.
        homes: Where each rests, (x, y) in units of the side.
        turns: Angle of each at rest, in radians.
    """

    background: np.ndarray
    movers: tuple[np.ndarray, ...]
    homes: tuple[tuple[float, float], ...]
    turns: tuple[float, ...]

    def frame(self, poses: tuple[Pose, ...]) -> np.ndarray:
        """The picture with each mover in its pose: (S, S, 3) uint8."""
        picture = self.background
        for mover, (x, y), turn, pose in zip(self.movers, self.homes, self.turns, poses):
            picture = _lay(picture, mover, (x + pose.x, y + pose.y), turn + pose.turn, pose.scale)
        return _picture(picture)


def draw_scene(rng: np.random.Generator, look: Look, split: str) -> Scene:
    """Draw a scene from a split's photographs, independently of the class."""
    level = LEVELS[look.level]
    return Scene(
        background=_background(rng, look, split),
        mover=_mover(rng, look, split, aspect=(0.8, 1.25)),
        centre=tuple(0.5 + rng.uniform(-1, 1, 2) * level.centre_jitter),
        radii=tuple(rng.uniform(*level.orbit_radius, 2)),
        tilt=rng.uniform(0, math.pi),
        start=rng.uniform(0, 2 * math.pi),
        rock=(rng.uniform(0, 0.5), rng.uniform(0, 2 * math.pi)),
    )


def draw_round_or_flat(rng: np.random.Generator, look: Look, split: str) -> Scene:
    """As `draw_scene`, but half of the orbits are flat, so that the mover swings instead of circling."""
    scene = draw_scene(rng, look, split)
    return replace(scene, radii=(scene.radii[0], 0.0)) if rng.random() < 0.5 else scene


PAIR_SCALE = 0.65  # of a mover that shares the frame with another
PAIR_DISTANCE = (0.21, 0.26)  # of a home from the middle, along the axis that divides the two


def draw_pair(rng: np.random.Generator, look: Look, split: str) -> Pair:
    """Draw two movers side by side or one above the other, independently of their motion.

    They are longer than wide, so that rotation is visible.
    """
    background = _background(rng, look, split)
    movers = tuple(_mover(rng, look, split, aspect=(0.66, 0.8), scale=PAIR_SCALE) for _ in range(2))
    along, across = rng.uniform(*PAIR_DISTANCE, 2), rng.uniform(-0.1, 0.1, 2)
    places = np.array([[0.5 - along[0], 0.5 + across[0]], [0.5 + along[1], 0.5 + across[1]]])
    places = places[rng.permutation(2)][:, rng.permutation(2)]  # which is over which; beside or above
    return Pair(
        background=background,
        movers=movers,
        homes=tuple((float(x), float(y)) for x, y in places),
        turns=tuple(rng.uniform(0, 2 * math.pi, 2).tolist()),
    )


def _background(rng: np.random.Generator, look: Look, split: str) -> np.ndarray:
    level, domain = LEVELS[look.level], DOMAINS[look.domain]
    background = _resize(_colour(rng, _cut(rng, domain.photographs[split], (0.5, 1.0))), look.size)
    if level.background_blur:
        blur = level.background_blur * look.size
        background = cv2.GaussianBlur(background, (0, 0), blur, borderType=cv2.BORDER_REFLECT)
    std = domain.background_scale * rng.uniform(*level.background_std)
    return _expose(background, rng.uniform(*level.background_mean), std)


def _mover(
    rng: np.random.Generator, look: Look, split: str, aspect: tuple[float, float], scale: float = 1.0
) -> np.ndarray:
    """A patch under its mask: (M, M, 4) float32; the highest-contrast one of four crops."""
    level, domain = LEVELS[look.level], DOMAINS[look.domain]
    cuts = [_cut(rng, domain.photographs[split], (0.15, 0.5)) for _ in range(4)]
    patch = _colour(rng, max(cuts, key=_contrast))
    exposure = rng.uniform(*level.mover_mean), rng.uniform(*level.mover_std)
    side = domain.mover_scale * rng.uniform(*level.mover_side) * scale
    return _mask(patch, exposure, side * look.size, aspect=rng.uniform(*aspect), power=rng.uniform(2, 6))


def _lay(
    picture: np.ndarray, mover: np.ndarray, place: tuple[float, float], turn: float, scale: float = 1.0
) -> np.ndarray:
    """A picture with a mover's middle at a place (units of the side), turned and scaled about it; float32."""
    size, middle = len(picture), (len(mover) - 1) / 2
    x, y = place[0] * size - 0.5, place[1] * size - 0.5
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    # rotate by `turn` about the patch's middle and lay that on (x, y)
    matrix = np.array([[cos, -sin, x - (cos - sin) * middle], [sin, cos, y - (sin + cos) * middle]])
    layer = cv2.warpAffine(mover, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return picture * (1 - layer[..., 3:]) + layer[..., :3]


def _picture(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _cut(rng: np.random.Generator, names: tuple[str, ...], share: tuple[float, float]) -> np.ndarray:
    """A square crop of one of the photographs; its side is a share of the photograph's shorter side."""
    image = photograph(names[rng.integers(len(names))])
    side = int(min(image.shape[:2]) * rng.uniform(*share))
    top, left = rng.integers(image.shape[0] - side + 1), rng.integers(image.shape[1] - side + 1)
    return image[top : top + side, left : left + side]


def _colour(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Channels permuted and tinted, so that colour reveals neither split nor photograph; float32."""
    return image[..., rng.permutation(3)] * rng.uniform(0.75, 1.25, 3).astype(np.float32)


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    shrinks = side < len(image)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _contrast(image: np.ndarray) -> float:
    """Standard deviation of the gray levels."""
    return float(image.mean(2, dtype=np.float32).std())


def _expose(image: np.ndarray, mean: float, std: float, most_gain: float = 4.0) -> np.ndarray:
    """Set the mean and standard deviation of the grey levels without amplifying colour; `most_gain` caps flat ones."""
    gain = np.float32(min(most_gain, std / max(_contrast(image), 1e-3)))
    cast = image.mean((0, 1))  # unchanged: amplified with a flat background's texture, it would glare
    return np.clip((image - cast) * gain + (cast - cast.mean()) * min(gain, np.float32(1)) + np.float32(mean), 0, 255)


def _mask(patch: np.ndarray, exposure: tuple[float, float], side: float, aspect: float, power: float) -> np.ndarray:
    """The patch under a soft-edged mask between ellipse (power 2) and rounded rectangle (6): (M, M, 4) float32."""
    num_pixels = math.ceil(1.25 * side) + 2
    patch = _expose(_resize(patch, num_pixels), *exposure)
    grid = (np.arange(num_pixels) - (num_pixels - 1) / 2) / (side / 2)
    x, y = np.meshgrid(grid * math.sqrt(aspect), grid / math.sqrt(aspect))
    radius = (np.abs(x) ** power + np.abs(y) ** power) ** (1 / power)
    edge = 0.025 * side + 0.5  # pixels
    mask = np.clip((1 - radius) * side / 2 / (2 * edge) + 0.5, 0, 1).astype(np.float32)
    return np.dstack([patch * mask[..., None], mask])
