"""The rendered dataset `toy`: photographs that move over other photographs, and a label that only motion can tell.

A scene is a patch of a photograph (the mover) on a closed orbit over a background cut from another photograph. The
orbit is an ellipse with 16 equally spaced phases. A clip of action recognition visits all 16, each exactly once, at its
16 sampled frames (`stride_frames` apart; frames between follow the motion). Its class is the order of the visit:

    turn1   one turn                      0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    turn2   two turns                     0 2 4 6 8 10 12 14 1 3 5 7 9 11 13 15
    turn3   three turns (3t mod 16)       0 3 6 9 12 15 2 5 8 11 14 1 4 7 10 13
    back    fast there, slowly back       0 3 6 9 12 15 14 13 11 10 8 7 5 4 2 1
    swing   two far forth, two near back  0 3 6 5 4 7 10 9 8 11 14 13 12 15 2 1

each clockwise (`_cw`) and counter-clockwise (`_ccw`): ten classes. The point of the orbit at which a clip starts is
uniform on the circle, and photographs, sizes, colours, centre, radii and tilt are drawn without knowledge of the class.
Hence

* one frame, at any time, shows a phase that is uniform whatever the class: it tells nothing;
* the sampled frames without their order are, for one scene, the same 16 pictures in every class, byte for byte: they
  tell nothing either. It holds after decoding too, since each sampled frame is a key frame with a constant quantiser.

This departs from the motions that DESIGN.md lists (direction, zoom, rotation): frames in any order betray the axis of a
straight motion, so a model without a sense of time would pass chance. Other forms of the dataset will use those. What
is not covered is a *set* of other frames than the sampled ones (another stride). A mirror exchanges clockwise and
counter-clockwise, so flips change the label; played backwards, a turn is the turn the other way.

Geometry is in units of the frame's side, so a seed draws the same scenes at 64 and at 112 pixels. Exposure is set, not
left to the photograph: an easy background is blurred and calm, but never flat (a flat one, standardised a tubelet at a
time, is coding noise), and an easy mover is brighter than its background.

Files: `videos/<split>/<class>/<name>-<number>.mp4`, and `toy.json` with the parameters. Same parameters, same bytes
(with the pinned OpenCV, Pillow and PyAV), whatever the number of processes.
"""

import functools
import importlib.util
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from sigma.data.index import DataError, in_processes, progress_bar, write_whole

RENDERER_VERSION = 1  # raise it when the same parameters give other pictures
QUANTISER = 20  # of H.264; constant, so that a key frame depends on its picture alone


# --------------------------------------------------------------------------------------------------- what is drawn


@dataclass(frozen=True)
class Domain:
    """Where the pictures come from and how fast the frames follow each other.

    `photographs` are files that scikit-image ships inside its package; no photograph serves two splits or two domains.
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

    Lengths in units of the frame's side, exposures (mean and standard deviation) in gray levels of 0 to 255.
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
    'hard': Level((0.22, 0.34), (0.17, 0.27), 0.10, 0.0, (80, 150), (30, 55), (80, 200), (35, 60)),
}


# ---------------------------------------------------------------------------------------------------------- motion

NUM_PHASES = 16
_ROUND = tuple(range(NUM_PHASES))
VISITS = {
    'back': (0, 3, 6, 9, 12, 15, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1),
    'swing': (0, 3, 6, 5, 4, 7, 10, 9, 8, 11, 14, 13, 12, 15, 2, 1),
    'turn1': _ROUND,
    'turn2': _ROUND[0::2] + _ROUND[1::2],
    'turn3': tuple(3 * step % NUM_PHASES for step in _ROUND),
}


def visited_phases(label: str) -> tuple[int, ...]:
    """The 16 phases in the order in which a class visits them; on screen, growing phases run clockwise."""
    visit, _, direction = label.rpartition('_')
    sign = {'cw': 1, 'ccw': -1}[direction]
    return tuple(sign * phase % NUM_PHASES for phase in VISITS[visit])


def orbit_phases(label: str, stride_frames: int) -> list[float]:
    """The phase at each frame of a clip of 16 x `stride_frames` frames.

    Whole numbers at sampled frames; between them the way is the shorter arc, and after the last it goes on as before.
    """
    visited = np.array(visited_phases(label))
    half = NUM_PHASES // 2
    steps = (np.diff(visited) + half) % NUM_PHASES - half
    steps = np.append(steps, steps[-1])
    parts = np.arange(stride_frames) / stride_frames
    return ((visited[:, None] + steps[:, None] * parts) % NUM_PHASES).ravel().tolist()


@dataclass(frozen=True)
class Form:
    """A task's form of the dataset: its classes, and where on the orbit the mover is at each frame."""

    classes: tuple[str, ...]
    phases: Callable[[str, int], list[float]]


FORMS = {
    'action_recognition': Form(
        classes=tuple(f'{visit}_{direction}' for visit in VISITS for direction in ('ccw', 'cw')), phases=orbit_phases
    ),
}


@dataclass(frozen=True)
class ToySpec:
    """The parameters of a rendered dataset; equal ones give equal bytes.

    Attributes:
        domain: Of DOMAINS.
        level: Of LEVELS.
        size: Pixels a side, even, 32 at least; 64 and 112 are the presets.
        seed: Of all that is drawn.
        clips_per_class: (train, test).
        form: Of FORMS.
    """

    domain: str = 'main'
    level: str = 'easy'
    size: int = 64
    seed: int = 0
    clips_per_class: tuple[int, int] = (160, 40)
    form: str = 'action_recognition'

    def __post_init__(self):
        if self.seed < 0:
            raise DataError(f'The seed is {self.seed}; it must be 0 or more.')
        if self.size < 32 or self.size % 2:
            raise DataError(
                f'Clips of {self.size} pixels cannot be rendered: take an even size from 32, such as 64 or 112.'
            )

    @property
    def classes(self) -> tuple[str, ...]:
        return FORMS[self.form].classes


# ---------------------------------------------------------------------------------------------------------- scenes


@functools.cache
def photograph(name: str) -> np.ndarray:
    """A photograph of scikit-image's package as (H, W, 3) uint8 RGB, longer side at most 512; never downloaded.

    Raises:
        DataError: if scikit-image is not installed, or ships no such file.
    """
    from PIL import Image

    package = importlib.util.find_spec('skimage')
    if package is None:
        raise DataError(
            'The toy dataset is cut from photographs of scikit-image, which is not installed: pip install scikit-image.'
        )
    file = Path(package.submodule_search_locations[0]) / 'data' / name
    if not file.is_file():
        raise DataError(
            f"The installed scikit-image has no photograph '{file}': take the version that requirements/ pins."
        )
    with Image.open(file) as image:
        image = image.convert('RGB')
    image.thumbnail((512, 512), Image.Resampling.LANCZOS)
    return np.asarray(image)


@dataclass(frozen=True)
class Scene:
    """Everything about a clip but its motion.

    Attributes:
        background: (S, S, 3) float32, 0 to 255; S pixels a side.
        mover: (M, M, 4) float32: the patch times its soft mask, and the mask (0 to 1).
        centre, radii: Of the orbit, in units of the side, x before y.
        tilt, start: Angles of the ellipse and of its phase 0, radians.
        rock: (amplitude, phase) of the mover's own rotation, which is tied to the place on the orbit, radians.
    """

    background: np.ndarray
    mover: np.ndarray
    centre: tuple[float, float]
    radii: tuple[float, float]
    tilt: float
    start: float
    rock: tuple[float, float]

    def frame(self, phase: float) -> np.ndarray:
        """The picture with the mover at a phase in [0, 16): (S, S, 3) uint8."""
        angle = self.start + 2 * math.pi * phase / NUM_PHASES
        along, across = self.radii[0] * math.cos(angle), self.radii[1] * math.sin(angle)
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        size, middle = len(self.background), (len(self.mover) - 1) / 2
        x = (self.centre[0] + cos * along - sin * across) * size - 0.5
        y = (self.centre[1] + sin * along + cos * across) * size - 0.5
        turn = self.rock[0] * math.sin(angle + self.rock[1])
        cos, sin = math.cos(turn), math.sin(turn)
        # rotate by `turn` about the patch's middle and lay that on (x, y)
        matrix = np.array([[cos, -sin, x - (cos - sin) * middle], [sin, cos, y - (sin + cos) * middle]])
        layer = cv2.warpAffine(self.mover, matrix, (size, size), flags=cv2.INTER_LINEAR)
        picture = self.background * (1 - layer[..., 3:]) + layer[..., :3]
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def draw_scene(rng: np.random.Generator, spec: ToySpec, split: str) -> Scene:
    """Draw a scene from a split's photographs; the class has no part in it."""
    level, domain = LEVELS[spec.level], DOMAINS[spec.domain]
    names, size = domain.photographs[split], spec.size
    background = _resize(_colour(rng, _cut(rng, names, (0.5, 1.0))), size)
    if level.background_blur:
        background = cv2.GaussianBlur(background, (0, 0), level.background_blur * size, borderType=cv2.BORDER_REFLECT)
    std = domain.background_scale * rng.uniform(*level.background_std)
    background = _expose(background, rng.uniform(*level.background_mean), std)
    cuts = [_cut(rng, names, (0.15, 0.5)) for _ in range(4)]
    patch = _colour(rng, max(cuts, key=_contrast))
    exposure = rng.uniform(*level.mover_mean), rng.uniform(*level.mover_std)
    side = domain.mover_scale * rng.uniform(*level.mover_side)
    return Scene(
        background=background,
        mover=_mask(patch, exposure, side * size, aspect=rng.uniform(0.8, 1.25), power=rng.uniform(2, 6)),
        centre=tuple(0.5 + rng.uniform(-1, 1, 2) * level.centre_jitter),
        radii=tuple(rng.uniform(*level.orbit_radius, 2)),
        tilt=rng.uniform(0, math.pi),
        start=rng.uniform(0, 2 * math.pi),
        rock=(rng.uniform(0, 0.5), rng.uniform(0, 2 * math.pi)),
    )


def _cut(rng: np.random.Generator, names: tuple[str, ...], share: tuple[float, float]) -> np.ndarray:
    """A square of one of the photographs, whose side is a share of the photograph's shorter one."""
    image = photograph(names[rng.integers(len(names))])
    side = int(min(image.shape[:2]) * rng.uniform(*share))
    top, left = rng.integers(image.shape[0] - side + 1), rng.integers(image.shape[1] - side + 1)
    return image[top : top + side, left : left + side]


def _colour(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Channels exchanged and tinted, so that colour tells neither split nor photograph; float32."""
    return image[..., rng.permutation(3)] * rng.uniform(0.75, 1.25, 3).astype(np.float32)


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    shrinks = side < len(image)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _contrast(image: np.ndarray) -> float:
    """Standard deviation of the gray levels."""
    return float(image.mean(2, dtype=np.float32).std())


def _expose(image: np.ndarray, mean: float, std: float, most_gain: float = 4.0) -> np.ndarray:
    """Set the mean and standard deviation of the gray levels, and no more colour; see `most_gain` for flat images."""
    gain = np.float32(min(most_gain, std / max(_contrast(image), 1e-3)))
    cast = image.mean((0, 1))  # kept as it is: raised with a flat background's texture it would glare
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


# ----------------------------------------------------------------------------------------------------------- clips


def clip_frames(spec: ToySpec, split: str, label: str, number: int) -> np.ndarray:
    """The frames of one clip before encoding: (T, S, S, 3) uint8, T = 16 x the domain's stride."""
    split_number = ('train', 'test').index(split)
    rng = np.random.default_rng(
        [spec.seed, list(DOMAINS).index(spec.domain), split_number, spec.classes.index(label), number]
    )
    return scene_frames(draw_scene(rng, spec, split), label, spec)


def scene_frames(scene: Scene, label: str, spec: ToySpec) -> np.ndarray:
    """A scene set in the motion of a class: (T, S, S, 3) uint8."""
    phases = FORMS[spec.form].phases(label, DOMAINS[spec.domain].stride_frames)
    return np.stack([scene.frame(phase) for phase in phases])


def encode(frames: np.ndarray, fps: int, stride_frames: int) -> bytes:
    """H.264 in mp4, yuv420p, a key frame at every `stride_frames`; the same frames give the same bytes.

    Args:
        frames: (T, H, W, 3) uint8 RGB, H and W even.
    """
    file = io.BytesIO()
    with av.open(file, 'w', format='mp4', options={'fflags': '+bitexact'}) as container:
        stream = container.add_stream('libx264', rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], 'yuv420p'
        codec = stream.codec_context
        codec.gop_size, codec.max_b_frames, codec.thread_count = stride_frames, 0, 1
        codec.flags |= av.codec.context.Flags.bitexact
        codec.options = {
            'qp': str(QUANTISER),
            'preset': 'veryfast',
            'sc_threshold': '0',
            'x264-params': 'threads=1:open-gop=0',
        }
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------ the dataset


def entries(spec: ToySpec) -> dict[str, list[tuple[str, str]]]:
    """split -> (path under `videos`, class) of every clip, sorted by path.

    File names tell domain, level, seed and version, so that lists, and thus their hashes in records, differ where the
    scenes do. The size has no part in it.
    """
    name = f'{DOMAINS[spec.domain].name}-v{RENDERER_VERSION}-{spec.level}-s{spec.seed}'
    return {
        split: [
            (f'{split}/{label}/{name}-{number:04d}.mp4', label) for label in spec.classes for number in range(num_clips)
        ]
        for split, num_clips in zip(('train', 'test'), spec.clips_per_class)
    }


def render(spec: ToySpec, out: str | Path, workers: int | None = None, progress: bool = True) -> dict:
    """Render a dataset into `out`, in parallel processes; clips that are there already are left as they are.

    Returns:
        `entries(spec)`.

    Raises:
        DataError: if `out` holds a dataset of other parameters, or other things; nothing is changed then.
    """
    out = Path(out)
    _claim(spec, out)
    clips = [path for pairs in entries(spec).values() for path, _ in pairs]
    absent = [path for path in clips if not (out / 'videos' / path).is_file()]
    for folder in {(out / 'videos' / path).parent for path in absent}:
        folder.mkdir(parents=True, exist_ok=True)
    job = functools.partial(_render_clip, spec, out / 'videos')
    with progress_bar('rendering clips', len(absent), progress) as advance:
        for path, result in in_processes(job, absent, workers):
            if result is not None:
                raise DataError(
                    f'The process that rendered {path} died twice ({result.exit_code}); run the command again.'
                )
            advance()
    return entries(spec)


def _claim(spec: ToySpec, out: Path) -> None:
    """Write the parameters into `out`, or make sure that they are the same."""
    parameters = {**json.loads(json.dumps(asdict(spec))), 'renderer_version': RENDERER_VERSION}
    manifest = out / 'toy.json'
    if manifest.is_file():
        try:
            found = json.loads(manifest.read_text(encoding='utf-8'))
        except ValueError:
            found = {}
        differing = [key for key in parameters if found.get(key) != parameters[key]]
        if differing:
            key = differing[0]
            raise DataError(
                f"'{out}' holds a toy dataset with {key} {found.get(key)!r}, asked was {parameters[key]!r}: choose "
                'another --out, or remove that folder.'
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' exists and is no toy dataset: choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(manifest, json.dumps(parameters, indent=1) + '\n')


def _render_clip(spec: ToySpec, folder: Path, path: str) -> None:
    cv2.setNumThreads(1)
    split, label, name = path.split('/')
    domain = DOMAINS[spec.domain]
    frames = clip_frames(spec, split, label, int(Path(name).stem.rpartition('-')[2]))
    write_whole(folder / path, encode(frames, domain.fps, domain.stride_frames), to_disk=False)


def card(spec: ToySpec) -> dict:
    """The fields of the dataset card that the parameters decide."""
    domain = DOMAINS[spec.domain]
    name = domain.name if spec.level == 'easy' else f'{domain.name}_{spec.level}'
    command = f'python tools/prepare.py toy --out "$SIGMA_DATA/{name}"'
    return {
        'name': name,
        'task': spec.form,
        'video_root': 'videos',
        'metric': 'top1',
        'flips_change_label': True,
        'sampling': {'num_frames': NUM_PHASES, 'stride_frames': domain.stride_frames},
        'size': spec.size,
        'source': 'rendered by sigma/data/toy.py from photographs inside scikit-image',
        'licence': 'photographs: as scikit-image states beside each, mostly public domain or CC0',
        'prepare': command + ('' if spec.domain == 'main' else f' --domain {spec.domain}'),
    }
