"""What a corruption is, where its randomness comes from, and the table of all of them.

Shape letters: T frames, H and W pixels. Frames are uint8 RGB (T, H, W, 3). A severity counts from 1; the constant
that belongs to it is called its level.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import cv2
import numpy as np

from sigma.errors import did_you_mean

# Blur radii, drops and noise grains are published in pixels, for pictures of 224 to 256; so every video is brought to
# this short side first, corrupted there, and only then resized as its model wants it.
WORKING_SHORT_SIDE = 256
LEAST_SIDE = 32  # below this the published constants (kernels of 41 pixels, rain of 80) are larger than the picture

FAMILIES = ('noise', 'blur', 'weather', 'digital', 'camera', 'codec', 'temporal', 'mixed')
SUITES = {
    'imagenet-c': 'Hendrycks and Dietterich 2019, on every frame of a video',
    'kinetics-c': 'Mini Kinetics-C, NeurIPS Datasets and Benchmarks 2021',
    'ssv2-c': 'Mini SSV2-C, the same authors; other frame rates and blur windows',
    'ucf-p': 'UCF101-P and siblings, CVPR 2023',
    'tal-c': 'THUMOS14-C and ActivityNet-C, CVPR 2024; three lengths of a damaged block instead of five strengths',
}
CORRUPTIONS: dict[str, Corruption] = {}


class Draws:
    """Random numbers of one (corruption, severity, video), addressed by source frame.

    A Philox generator counts: its key is a hash of the three names, its counter starts at the number of the frame. So
    what a frame gets depends on no other frame, and neither on order, batch, worker nor process. Equal bytes need equal
    versions of numpy, as numpy promises no more.
    """

    def __init__(self, corruption: str, severity: int, video: str, frame_numbers: np.ndarray) -> None:
        digest = hashlib.blake2b(f'{corruption}\0{severity}\0{video}'.encode(), digest_size=16).digest()
        self._key = np.frombuffer(digest, dtype='<u8')
        self._frame_numbers = frame_numbers

    def shared(self) -> np.random.Generator:
        """For what all frames of the video have in common."""
        return self._at(0)

    def frame(self, t: int) -> np.random.Generator:
        """For the t-th of the given frames, by its number in the source."""
        return self._at(1 + int(self._frame_numbers[t]))

    def _at(self, block: int) -> np.random.Generator:
        # The highest word of the counter: blocks lie 2^192 draws apart.
        counter = np.array([0, 0, 0, block], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))


@dataclass(frozen=True)
class Corruption:
    """One corruption with its strengths.

    `acts_on` says what it may be given:
    - 'frame': each frame for itself; sampled frames will do (with their numbers in the source).
    - 'video': neighbouring frames matter; give the whole video in source order, then sample.
    - 'order': gives the new order of the source frames, before sampling; it sees no picture.
    - 'clip': reorders the frames of a clip that was sampled (diagnostic; names begin with `clip_`).
    """

    name: str
    family: str
    acts_on: str
    levels: tuple  # of severities 1, 2, ...
    suites: Mapping[str, tuple]  # published suite -> its levels, which may be others
    shared: bool | None  # whether frames share what is drawn; None where nothing is drawn
    monotone: bool  # whether damage (in the mean over draws) grows with every step; said where it does not
    source: str
    function: Callable = field(repr=False, compare=False)
    needs: Callable[[], str | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return inspect.getdoc(self.function).splitlines()[0]

    def unavailable(self) -> str | None:
        """Why it cannot run here, in a sentence; None where it can."""
        return self.needs()

    def level(self, severity: int, suite: str | None = None):
        """Constant of a severity, of a published suite or (None) of this project's own scale.

        Raises:
            ValueError: if the severity is out of range or the suite does not hold this corruption.
        """
        if suite is not None and suite not in self.suites:
            _check_suite(suite)
            held = ', '.join(self.suites) or 'no published suite'
            raise ValueError(f'{self.name} is not in {suite}; it is in {held}')
        levels = self.levels if suite is None else self.suites[suite]
        whole = isinstance(severity, (int, np.integer)) and not isinstance(severity, bool)
        if not whole or not 1 <= severity <= len(levels):
            raise ValueError(
                f'{self.name} has no severity {severity!r}; it takes a whole number from 1 to {len(levels)}'
            )
        return levels[severity - 1]

    def __call__(
        self,
        frames: np.ndarray,
        severity: int,
        video: str,
        *,
        suite: str | None = None,
        frame_numbers: Sequence[int] | None = None,
        actions: Sequence[tuple[int, int]] | None = None,
    ) -> np.ndarray:
        """Corrupted frames, of the same shape; the given ones are left as they are.

        Args:
            frames: (T, H, W, 3) uint8 RGB at the working size.
            severity: From 1, see `levels`.
            video: Name of the video; with the frame numbers it decides what is drawn.
            suite: Whose levels hold; by default those of `levels`.
            frame_numbers: T numbers of the frames in the source; 0 to T - 1 by default.
            actions: tal-c alone: (first, last + 1) frames of each action; by default all frames are one.

        Raises:
            ValueError: on other frames, an unknown severity, or a corruption of another form.
            RuntimeError: if it is not available here; says why.
        """
        if self.acts_on == 'order':
            raise ValueError(
                f'{self.name} acts on the order of source frames: use order(num_frames, ...), or clip_{self.name} '
                'on a sampled clip'
            )
        level = self.level(severity, suite)
        check_frames(frames)
        if (reason := self.unavailable()) is not None:
            raise RuntimeError(f'{self.name} is not available: {reason}')
        numbers = np.arange(len(frames)) if frame_numbers is None else np.asarray(frame_numbers)
        if numbers.shape != (len(frames),) or numbers.dtype.kind not in 'iu' or numbers.min() < 0:
            raise ValueError(f'{len(frames)} frames want as many frame numbers from 0, found {frame_numbers!r}')
        options = {}
        if 'actions' in inspect.signature(self.function).parameters:
            options['actions'] = actions
        elif actions is not None:
            raise ValueError(f'{self.name} damages whole videos; only those of tal-c take actions')
        frames = np.ascontiguousarray(frames)  # OpenCV takes no flipped views
        return self.function(frames, level, Draws(self.name, severity, video, numbers), **options)

    def order(
        self, num_frames: int, severity: int, video: str, *, suite: str | None = None, fps: float | None = None
    ) -> np.ndarray:
        """Source frames in the order in which the corrupted video shows them; it may be shorter.

        Args:
            num_frames: Of the source, 1 or more.
            severity: From 1.
            video: Name of the video.
            suite: Whose levels hold.
            fps: Frames a second of the source; `frame_rate` alone asks for it.

        Returns:
            (n,) int64, 1 <= n <= num_frames.

        Raises:
            ValueError: on a corruption of pictures, an unknown severity, no frame, or no fps where it is needed.
        """
        if self.acts_on != 'order':
            raise ValueError(f'{self.name} acts on pictures and has no order; call it with frames')
        level = self.level(severity, suite)
        if num_frames < 1:
            raise ValueError(f'{self.name} was given {num_frames} frames; a video has at least one')
        draws = Draws(self.name, severity, video, np.zeros(1, dtype=np.int64))
        if 'fps' in inspect.signature(self.function).parameters:
            if fps is None or not fps > 0:
                raise ValueError(f'{self.name} needs the frames a second of the source, found fps={fps!r}')
            return self.function(num_frames, level, draws, fps=fps)
        return self.function(num_frames, level, draws)


def register(
    family: str,
    levels: tuple,
    source: str,
    *,
    shared: bool | None,
    suites: Mapping[str, tuple] | Sequence[str] = (),
    acts_on: str = 'frame',
    monotone: bool = True,
    needs: Callable[[], str | None] = lambda: None,
    name: str | None = None,
) -> Callable:
    """Enters a function `(frames, level, draws) -> frames`, or `(num_frames, level, draws) -> order`, in the table.

    `suites` names published suites; as a mapping it gives their own levels.
    """
    if not isinstance(suites, Mapping):
        suites = dict.fromkeys(suites, levels)
    assert family in FAMILIES
    assert set(suites) <= set(SUITES)

    def enter(function: Callable) -> Callable:
        entry = name or function.__name__
        assert entry not in CORRUPTIONS, entry
        CORRUPTIONS[entry] = Corruption(
            name=entry,
            family=family,
            acts_on=acts_on,
            levels=levels,
            suites=MappingProxyType(dict(suites)),
            shared=shared,
            monotone=monotone,
            source=source,
            function=function,
            needs=needs,
        )
        return function

    return enter


register_order = partial(register, 'temporal', acts_on='order')


def get_corruption(name: str) -> Corruption:
    """The corruption of that name.

    Raises:
        ValueError: with the nearest name.
    """
    if name not in CORRUPTIONS:
        raise ValueError(did_you_mean('corruption', name, CORRUPTIONS))
    return CORRUPTIONS[name]


def suite_corruptions(suite: str) -> list[Corruption]:
    """Corruptions of a published suite; call them with `suite=` to have its levels.

    Those that cannot run here are among them: see `Corruption.unavailable`, print the reason, and give the mean over
    the rest another name.

    Raises:
        ValueError: with the nearest name.
    """
    _check_suite(suite)
    return [corruption for corruption in CORRUPTIONS.values() if suite in corruption.suites]


def _check_suite(suite: str) -> None:
    if suite not in SUITES:
        raise ValueError(did_you_mean('suite of corruptions', suite, SUITES))


def check_frames(frames: np.ndarray) -> None:
    """Refuses what is not uint8 RGB (T, H, W, 3) with a frame at least and sides of 32 at least."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        found = getattr(frames, 'dtype', type(frames).__name__)
        raise ValueError(f'frames are {found}; corruptions take uint8 RGB, before any normalisation')
    if frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 1):
        raise ValueError(f'frames have shape {frames.shape}, wanted (T, H, W, 3); repeat gray three times, put T first')
    if frames.ndim != 4 or frames.shape[3] != 3 or len(frames) == 0:
        raise ValueError(f'frames have shape {frames.shape}, wanted (T, H, W, 3) with T at least 1')
    if min(frames.shape[1:3]) < LEAST_SIDE:
        raise ValueError(
            f'frames are {frames.shape[1]}x{frames.shape[2]}; the constants are published for 224 to 256 pixels and '
            f'mean nothing below {LEAST_SIDE}'
        )


def to_working_size(frames: np.ndarray, short_side: int = WORKING_SHORT_SIDE) -> np.ndarray:
    """Frames with their short side brought to `short_side`, the other in proportion; bilinear, areas when shrinking."""
    check_frames(frames)
    height, width = frames.shape[1:3]
    if min(height, width) == short_side:
        return frames
    scale = short_side / min(height, width)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in frames])


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Floats on the scale of 0 to 255 to uint8, rounded and cut. (The published code of ImageNet-C truncates.)"""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
