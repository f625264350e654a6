"""What a corruption is, how its random numbers are drawn, and the table of all corruptions.

A new corruption is a function under `@register(...)`, in a file of this folder or in a user's file for `--import`.
Robustness recipes use it by its name.

    from eval.corruptions import register

    @register('noise', levels=(2, 4, 8, 16, 32), source='ours', shared=False)
    def grain(frames, grey_levels, draws):
        'Adds whole numbers of up to that many grey levels to every value.'
        ...

Shape letters: T frames, H and W pixels. Frames are uint8 RGB (T, H, W, 3). Severities count from 1. The constant that
belongs to a severity is called its level.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sigma.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from sigma.video import FrameTimes

# Blur radii, drops and noise grains are published in pixels, for frames with sides of 224 to 256. So every video is
# first resized to this short side, then corrupted, and only then resized for its model.
WORKING_SHORT_SIDE = 256
LEAST_SIDE = 32  # in smaller frames the published constants (kernels of 41 pixels, rain of 80) exceed the picture
CLEAN, REENCODED = 'clean', 'reencoded'  # columns without a corruption

FAMILIES = ('noise', 'blur', 'weather', 'digital', 'camera', 'codec', 'temporal', 'mixed')
SUITES = {
    'imagenet-c': 'Hendrycks and Dietterich 2019, on every frame of a video',
    'kinetics-c': 'Mini Kinetics-C, NeurIPS Datasets and Benchmarks 2021',
    'ssv2-c': 'Mini SSV2-C, by the same authors, with other frame rates and blur windows',
    'ucf-p': 'UCF101-P and siblings, CVPR 2023',
    'tal-c': 'THUMOS14-C and ActivityNet-C, CVPR 2024; three lengths of a damaged block instead of five severities',
}
CORRUPTIONS: dict[str, Corruption] = {}


class Draws:
    """Random numbers for one (corruption, severity, video), addressed by source frame.

    The generator is Philox, which is counter-based. Its key is a hash of corruption, severity and video; its counter
    starts at the frame number. So the draws of a frame do not depend on other frames, their order, the batch or the
    process. Results are equal byte for byte only with the same version of numpy, which promises no more.
    """

    def __init__(self, corruption: str, severity: int, video: str, frame_numbers: np.ndarray) -> None:
        digest = hashlib.blake2b(f'{corruption}\0{severity}\0{video}'.encode(), digest_size=16).digest()
        self._key = np.frombuffer(digest, dtype='<u8')
        self._frame_numbers = frame_numbers

    def shared(self) -> np.random.Generator:
        """Generator for what all frames of the video share."""
        return self._at(0)

    def frame(self, t: int) -> np.random.Generator:
        """Generator for the t-th of the given frames, keyed by its number in the source."""
        return self._at(1 + int(self._frame_numbers[t]))

    def _at(self, block: int) -> np.random.Generator:
        # The highest word of the counter, so blocks lie 2^192 draws apart.
        counter = np.array([0, 0, 0, block], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))


@dataclass(frozen=True)
class Corruption:
    """One corruption at several severities.

    `acts_on` says what it needs:
    - 'frame': single frames. Give it the sampled frames and their numbers in the source.
    - 'video': neighbouring frames. Give it the whole video in source order, then sample.
    - 'order': no pictures. It returns a new order of the source frames; sample from that.
    - 'clip': a sampled clip, whose frames it reorders. Only for diagnostics; its name begins with `clip_`.
    """

    name: str
    family: str
    acts_on: str
    levels: tuple  # one per severity: 1, 2, ...
    suites: Mapping[str, tuple]  # published suite -> its own levels
    shared: bool | None  # whether all frames share the draws; None if nothing is drawn
    monotone: bool  # whether mean damage grows with every severity
    source: str  # where the constants come from, and where this code departs from that
    function: Callable = field(repr=False, compare=False)
    needs: Callable[[], str | None] = field(default=lambda: None, repr=False, compare=False)
    version: int = 1  # raised when the same frames and level give other pixels; above 1 it is part of a cell's identity

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (inspect.getdoc(self.function) or '').partition('\n')[0]

    def unavailable(self) -> str | None:
        """Reason why it cannot run here, or None."""
        return self.needs()

    def level(self, severity: int, suite: str | None = None):
        """Level of a severity, on the scale of a published suite or (None) on the default scale.

        Raises:
            DataError: if the severity is out of range, or this corruption is not in the suite.
        """
        if suite is not None and suite not in self.suites:
            _check_suite(suite)
            held = ', '.join(self.suites) or 'no published suite'
            raise DataError(f'{self.name} is not in {suite}; it is in {held}')
        levels = self.levels if suite is None else self.suites[suite]
        whole = isinstance(severity, (int, np.integer)) and not isinstance(severity, bool)
        if not whole or not 1 <= severity <= len(levels):
            raise DataError(
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
        frame_numbers: Sequence[int] | np.ndarray | None = None,
        actions: Sequence[tuple[int, int]] | None = None,
    ) -> np.ndarray:
        """Corrupt frames. The given array is not changed.

        Args:
            frames: (T, H, W, 3) uint8 RGB at the working size.
            severity: From 1 to the number of levels.
            video: Name of the video. It and the frame numbers decide the random draws.
            suite: Published suite whose levels to use (default: `levels`).
            frame_numbers: (T,) numbers of the frames in the source (default: 0 to T - 1).
            actions: Only for tal-c: (first, last + 1) frames of each action (default: all frames are one action).

        Returns:
            (T, H, W, 3) uint8 RGB.

        Raises:
            DataError: on frames of another form, an unknown severity, or a corruption that acts on the order.
            RuntimeError: if it is not available here, with the reason.
        """
        if self.acts_on == 'order':
            raise DataError(
                f'{self.name} acts on the order of source frames: use order(num_frames, ...), or clip_{self.name} '
                'on a sampled clip'
            )
        level = self.level(severity, suite)
        check_frames(frames)
        if (reason := self.unavailable()) is not None:
            raise RuntimeError(f'{self.name} is not available: {reason}')
        numbers = np.arange(len(frames)) if frame_numbers is None else np.asarray(frame_numbers)
        if numbers.shape != (len(frames),) or numbers.dtype.kind not in 'iu' or numbers.min() < 0:
            raise DataError(
                f'{len(frames)} frames need {len(frames)} frame numbers of at least 0, found {frame_numbers!r}'
            )
        options: dict[str, Any] = {}
        if 'actions' in inspect.signature(self.function).parameters:
            options['actions'] = actions
        elif actions is not None:
            raise DataError(f'{self.name} damages whole videos; only corruptions of tal-c take actions')
        frames = np.ascontiguousarray(frames)  # OpenCV does not accept flipped views
        return self.function(frames, level, Draws(self.name, severity, video, numbers), **options)

    def order(
        self,
        num_frames: int,
        severity: int,
        video: str,
        *,
        suite: str | None = None,
        fps: float | None = None,
        times: FrameTimes | None = None,
    ) -> np.ndarray:
        """Source frames in the order in which the corrupted video shows them. There may be fewer.

        Args:
            num_frames: Number of frames of the source, at least 1.
            severity: From 1 to the number of levels.
            video: Name of the video. It decides the random draws.
            suite: Published suite whose levels to use (default: `levels`).
            fps: Frames per second of the source, on average; only `frame_rate` needs it.
            times: When its frames are shown, if the rate is not constant; only `frame_rate` looks at it.

        Returns:
            (n,) int64 frame numbers, 1 <= n <= num_frames.

        Raises:
            DataError: on a corruption that acts on pictures, an unknown severity, no frames, or a missing fps.
        """
        if self.acts_on != 'order':
            raise DataError(f'{self.name} acts on pictures and has no order; call it with frames')
        level = self.level(severity, suite)
        if num_frames < 1:
            raise DataError(f'{self.name} was given {num_frames} frames; a video has at least one')
        draws = Draws(self.name, severity, video, np.zeros(1, dtype=np.int64))
        takes = inspect.signature(self.function).parameters
        if 'fps' in takes:
            if fps is None or not fps > 0:
                raise DataError(f'{self.name} needs the frames per second of the source, found fps={fps!r}')
            timed = {'times': times} if 'times' in takes else {}
            return self.function(num_frames, level, draws, fps=fps, **timed)
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
    version: int = 1,
) -> Callable:
    """Decorator that adds a corruption to the table.

    The function is `(frames, level, draws) -> frames`, or `(num_frames, level, draws) -> order` if it acts on the
    order; see `Corruption` and `Draws`. The first line of its docstring is the sentence in lists.

    Args:
        family: One of FAMILIES.
        levels: One constant per severity, as JSON can store it. Results depend on it, so it is part of a cell's
            identity. The code is not: raise `version` if its code changes.
        source: Where the constants come from.
        shared: Whether all frames share the draws; None if nothing is drawn.
        suites: Published suites it belongs to; a mapping gives each its own levels.
        acts_on: See `Corruption`.
        monotone: Whether mean damage grows with every severity.
        needs: Returns the reason why it cannot run here, or None.
        name: Name in recipes (default: that of the function).
        version: Raise it, with a dated comment, when the same frames and level give other pixels.

    Raises:
        DataError: if there are no levels, family or suite is unknown, or the name is taken.
    """
    by_suite = dict(suites) if isinstance(suites, Mapping) else dict.fromkeys(suites, levels)

    def enter(function: Callable) -> Callable:
        entry = name or function.__name__
        if entry in CORRUPTIONS or entry in (CLEAN, REENCODED):
            raise DataError(f'There is a corruption named {entry!r} already; give this one another name.')
        if not levels:
            raise DataError(f'The corruption {entry!r} has no levels; give one constant per severity.')
        if family not in FAMILIES:
            raise DataError(did_you_mean('family of corruptions', family, FAMILIES))
        for suite in by_suite:
            _check_suite(suite)
        CORRUPTIONS[entry] = Corruption(
            name=entry,
            family=family,
            acts_on=acts_on,
            levels=levels,
            suites=MappingProxyType(by_suite),
            shared=shared,
            monotone=monotone,
            source=source,
            function=function,
            needs=needs,
            version=version,
        )
        return function

    return enter


register_order = partial(register, 'temporal', acts_on='order')


def get_corruption(name: str) -> Corruption:
    """The corruption with this name.

    Raises:
        DataError: if there is none, with the nearest name.
    """
    if name not in CORRUPTIONS:
        raise DataError(did_you_mean('corruption', name, CORRUPTIONS))
    return CORRUPTIONS[name]


def suite_corruptions(suite: str) -> list[Corruption]:
    """Corruptions of a published suite. Call them with `suite=` to use its levels.

    Includes those that cannot run here (`Corruption.unavailable`). Report why, and give a mean without them another
    name.

    Raises:
        DataError: if there is no such suite, with the nearest name.
    """
    _check_suite(suite)
    return [corruption for corruption in CORRUPTIONS.values() if suite in corruption.suites]


def _check_suite(suite: str) -> None:
    if suite not in SUITES:
        raise DataError(did_you_mean('suite of corruptions', suite, SUITES))


def check_frames(frames: np.ndarray) -> None:
    """Refuse anything but uint8 RGB (T, H, W, 3) with T >= 1 and H, W >= 32.

    Raises:
        DataError: says what was found.
    """
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        found = getattr(frames, 'dtype', type(frames).__name__)
        raise DataError(f'frames are {found}; corruptions take uint8 RGB, before any normalisation')
    if frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 1):
        raise DataError(
            f'frames have shape {frames.shape}, expected (T, H, W, 3); repeat gray three times and put T first'
        )
    if frames.ndim != 4 or frames.shape[3] != 3 or len(frames) == 0:
        raise DataError(f'frames have shape {frames.shape}, expected (T, H, W, 3) with T at least 1')
    if min(frames.shape[1:3]) < LEAST_SIDE:
        raise DataError(
            f'frames are {frames.shape[1]}x{frames.shape[2]}; the constants are published for 224 to 256 pixels and '
            f'need sides of at least {LEAST_SIDE}'
        )


def to_working_size(frames: np.ndarray, short_side: int = WORKING_SHORT_SIDE) -> np.ndarray:
    """Resize frames to a short side and keep the aspect ratio: area averages to shrink, else bilinear."""
    check_frames(frames)
    height, width = frames.shape[1:3]
    if min(height, width) == short_side:
        return frames
    scale = short_side / min(height, width)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in frames])


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Floats on the scale 0 to 255 to uint8, rounded and clipped. (The published code of ImageNet-C truncates.)"""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
