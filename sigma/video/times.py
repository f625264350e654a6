"""When the frames of a video are shown: the one place where seconds and frame numbers meet.

The container's frame rate does not tell: recordings of phones and browsers have no constant rate, and some files state
a wrong one. So times come from the frames' timestamps, and time 0 is the first shown frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sigma.video.look import Frame

# Containers round timestamps to a millisecond, at the first frame and at each other.
CONSTANT_WITHIN_SECONDS = 0.001001
USUAL_FPS = 25.0  # for a stream without any time, as FFmpeg assumes
_CLOSE_FRAMES, _CLOSE_SECONDS = 1e-9, 1e-6  # what rounding of floats may cost


class FrameTimes:
    """The time at which each frame of a video is shown, in seconds from its first frame.

    Frame i is on screen from its own time to that of frame i + 1; the last one until `duration`. Make one with
    `constant`, `listed`, `measured`, or `from_json`.

    Attributes:
        num_frames: Frames of the video, at least 1.
        fps: Frames per second. If they are not constant: `num_frames / duration`.
        duration: Seconds from the first frame to the end of the last one.
        is_constant: Whether every frame lasts 1 / fps seconds.
    """

    __slots__ = ('_borders_ms', 'fps', 'num_frames')  # a dataset holds one for each of its videos

    def __init__(self, num_frames: int, fps: float, borders_ms: np.ndarray | None = None) -> None:
        if num_frames < 1 or not fps > 0:
            raise ValueError(f'frame times need at least one frame and a rate above 0, found {num_frames} at {fps}')
        self.num_frames, self.fps, self._borders_ms = int(num_frames), float(fps), borders_ms

    @classmethod
    def constant(cls, num_frames: int, fps: float) -> FrameTimes:
        """Frame i at i / fps.

        Args:
            num_frames: At least 1.
            fps: Frames per second, above 0; kept to 6 decimals.

        Raises:
            ValueError: if a number is out of range.
        """
        return cls(num_frames, round(float(fps), 6))

    @classmethod
    def listed(cls, seconds: ArrayLike, end: float | None = None) -> FrameTimes:
        """Frame i at `seconds[i]`; kept to the millisecond.

        Args:
            seconds: (n,) non-decreasing, n >= 1. Time 0 is moved to the first of them.
            end: When the last frame ends; None lets it last as long as the middle one of the others.

        Raises:
            ValueError: if there is no time, or if times decrease.
        """
        starts = np.asarray(seconds, np.float64).ravel()
        if not len(starts):
            raise ValueError('a list of frame times needs at least one')
        last = _usual_step(starts) if end is None else end - starts[-1]
        borders = np.round(np.append(starts, starts[-1] + last) * 1000 - starts[0] * 1000).astype(np.int64)
        borders[-1] = max(borders[-1], borders[-2], 1)  # a video lasts at least a millisecond
        if (np.diff(borders) < 0).any():
            raise ValueError('frame times must not decrease')
        return cls(len(starts), len(starts) / (borders[-1] / 1000), borders)

    @classmethod
    def measured(
        cls,
        pts: Sequence[int | None],
        dts: Sequence[int | None],
        time_base: Fraction | float,
        stated_fps: float = 0.0,
        last_ticks: int = 0,
    ) -> FrameTimes:
        """From the timestamps of all frames, in the order in which they are shown.

        The rate is constant if no frame is further than a millisecond from its place: at the stated rate, or else at
        the mean rate. Timestamps that are missing are put between their neighbours. Presentation times decide; where
        they run backwards (AVI has none), decoding times do; where both do, or fewer than half of the frames have
        one, the stated rate, or 25, is all there is.

        Args:
            pts, dts: Presentation and decoding time of each frame in ticks; None where unknown.
            time_base: Seconds of a tick.
            stated_fps: The container's rate; 0 if unknown.
            last_ticks: The container's duration of the last frame; used if others last as long. 0 if unknown.

        Raises:
            ValueError: if there is no frame.
        """
        starts = _seconds_of(pts, time_base)
        if starts is None:
            starts = _seconds_of(dts, time_base)
        if starts is None or len(starts) == 1:
            return cls.constant(len(pts), stated_fps if stated_fps > 0 else USUAL_FPS)
        for fps in _candidates(starts, stated_fps):
            if np.abs(starts - np.arange(len(starts)) / fps).max() <= CONSTANT_WITHIN_SECONDS:
                return cls.constant(len(starts), fps)
        steps, last = np.diff(starts), last_ticks * float(time_base)
        return cls.listed(starts, starts[-1] + last if last > 0 and steps.min() <= last <= steps.max() else None)

    # --- questions -------------------------------------------------------------------------------------------------

    @property
    def is_constant(self) -> bool:
        return self._borders_ms is None

    @property
    def duration(self) -> float:
        return self.num_frames / self.fps if self._borders_ms is None else float(self._borders_ms[-1] / 1000)

    def seconds(self, frames: ArrayLike) -> Any:
        """When frames begin to be shown; the number `num_frames` gives the end of the last one.

        Args:
            frames: Frame number or array of them, in [0, num_frames].

        Returns:
            Seconds, a float or an array of the same shape.

        Raises:
            IndexError: if a number is out of range.
        """
        frames = np.asarray(frames)
        if frames.size and (frames.min() < 0 or frames.max() > self.num_frames):
            raise IndexError(f'frames {frames.min()} to {frames.max()} asked of a video of {self.num_frames}')
        found = frames / self.fps if self._borders_ms is None else self._borders_ms[frames] / 1000
        return found if frames.ndim else float(found)

    def frame_at(self, seconds: ArrayLike) -> Any:
        """The frame on screen at a time; the first one before 0, the last one after the end.

        Args:
            seconds: A number or array of them.

        Returns:
            Frame number, an int or an int64 array of the same shape.
        """
        seconds = np.asarray(seconds, np.float64)
        found: np.ndarray
        if self._borders_ms is None:
            found = np.floor(seconds * self.fps + _CLOSE_FRAMES)
        else:
            found = np.searchsorted(self._borders_ms[:-1], (seconds + _CLOSE_SECONDS) * 1000, 'right') - 1
        frames = np.clip(found, 0, self.num_frames - 1).astype(np.int64)
        return frames if seconds.ndim else int(frames)

    def frames_between(self, start: float, end: float) -> range:
        """The frames from one time to another; a range of frame numbers, which may be empty.

        Each end is moved to the nearest border between two frames (at a constant rate: `round`), so neighbouring
        stretches of time share no frame.
        """
        if self._borders_ms is None:
            ends = [round(time * self.fps) for time in (start, end)]
        else:
            middles = (self._borders_ms[:-1] + self._borders_ms[1:]) / 2
            ends = [int(np.searchsorted(middles, (time - _CLOSE_SECONDS) * 1000)) for time in (start, end)]
        first, last = (min(max(number, 0), self.num_frames) for number in ends)
        return range(first, max(first, last))

    def seconds_at(self, places: ArrayLike) -> np.ndarray:
        """Times of places between frames: 2.5 is the middle of frame 2. Outside the video, the mean rate goes on.

        Args:
            places: Fractional frame numbers, of any shape.
        """
        places = np.asarray(places, np.float64)
        if self._borders_ms is None:
            return places / self.fps
        inside = np.interp(places, np.arange(self.num_frames + 1), self._borders_ms / 1000)
        return inside + (np.minimum(places, 0) + np.maximum(places - self.num_frames, 0)) / self.fps

    def places_at(self, seconds: ArrayLike) -> np.ndarray:
        """Places between frames at these times: the inverse of `seconds_at`."""
        seconds = np.asarray(seconds, np.float64)
        if self._borders_ms is None:
            return seconds * self.fps
        inside = np.interp(seconds, self._borders_ms / 1000, np.arange(self.num_frames + 1.0))
        return inside + (np.minimum(seconds, 0) + np.maximum(seconds - self.duration, 0)) * self.fps

    # --- other videos ----------------------------------------------------------------------------------------------

    def section(self, first: int, last: int) -> FrameTimes:
        """The times of frames `first` to `last` as a video of their own.

        Raises:
            IndexError: if one of them is not a frame, or `last` comes first.
        """
        if not 0 <= first <= last < self.num_frames:
            raise IndexError(f'frames {first} to {last} asked of a video of {self.num_frames}')
        if self._borders_ms is None:
            return FrameTimes(last - first + 1, self.fps)
        return FrameTimes.listed(self.seconds(np.arange(first, last + 1)), self.seconds(last + 1))

    # --- storage ---------------------------------------------------------------------------------------------------

    @property
    def borders_ms(self) -> np.ndarray:
        """(num_frames + 1,) int64 milliseconds, rounded: the start of every frame, and the end."""
        if self._borders_ms is None:
            return np.round(np.arange(self.num_frames + 1) * 1000 / self.fps).astype(np.int64)
        return self._borders_ms

    def to_json(self) -> float | list[int]:
        """The rate if it is constant, else `num_frames + 1` milliseconds: the start of every frame, and the end."""
        return self.fps if self._borders_ms is None else self._borders_ms.tolist()

    @classmethod
    def from_json(cls, value: float | Sequence[int], num_frames: int) -> FrameTimes:
        """What `to_json` gave.

        Raises:
            ValueError: if the value is none, or lists another number of frames.
        """
        if isinstance(value, (int, float)):
            return cls.constant(num_frames, value)
        borders = np.asarray(value, np.float64)
        if borders.shape != (num_frames + 1,) or borders[0] != 0:
            raise ValueError(
                f'the times of {num_frames} frames are a rate or {num_frames + 1} milliseconds from 0, found {value!r}'
            )
        return cls.listed(borders[:-1] / 1000, float(borders[-1]) / 1000)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrameTimes):
            return NotImplemented
        return (self.num_frames, self.to_json()) == (other.num_frames, other.to_json())

    def __hash__(self) -> int:
        return hash((self.num_frames, self.fps))

    def __repr__(self) -> str:
        kind = 'constant' if self.is_constant else 'listed'
        return f'FrameTimes({self.num_frames} frames, {self.fps:g} fps, {kind})'


def times_of(entry: Mapping[str, Any]) -> FrameTimes | None:
    """When the frames of an entry of a dataset are shown: its `times`, or else `total_frames` at its `fps`.

    None if the entry knows neither, or its `fps` is 0.
    """
    if 'fps' in entry and not entry['fps']:
        return None
    if entry.get('times') is not None:
        return entry['times']
    num_frames, fps = entry.get('total_frames'), entry.get('fps')
    return FrameTimes.constant(num_frames, fps) if num_frames and fps else None


class FrameClock:
    """Collects the timestamps of frames while a file is decoded; `times` turns them into `FrameTimes`.

    Args:
        stated_fps: The container's rate; 0 if unknown.
    """

    def __init__(self, stated_fps: float = 0.0) -> None:
        self._stated_fps = stated_fps
        self._pts: list[int | None] = []
        self._dts: list[int | None] = []
        self._time_base: Fraction | float = 0.0
        self._last_ticks = 0

    def add(self, frame: Frame) -> None:
        """Note the next shown frame."""
        self._pts.append(frame.pts)
        self._dts.append(frame.dts)
        self._time_base = frame.time_base or 0.0
        self._last_ticks = frame.duration or 0

    def times(self) -> FrameTimes:
        """Of all frames so far.

        Raises:
            ValueError: if there is none.
        """
        return FrameTimes.measured(self._pts, self._dts, self._time_base, self._stated_fps, self._last_ticks)


def _seconds_of(ticks: Sequence[int | None], time_base: Fraction | float) -> np.ndarray | None:
    """Seconds since the first; gaps are filled. None if times decrease, or most are unknown."""
    known = np.array([number for number, tick in enumerate(ticks) if tick is not None])
    if not time_base or 2 * len(known) < len(ticks) or len(known) < 2:
        return None
    values = np.array([tick for tick in ticks if tick is not None], np.float64)
    if (np.diff(values) < 0).any() or values[0] == values[-1]:
        return None
    places, step = np.arange(len(ticks)), np.median(np.diff(values) / np.diff(known))
    filled = np.interp(places, known, values)
    filled += step * (np.minimum(places - known[0], 0) + np.maximum(places - known[-1], 0))
    return (filled - filled[0]) * float(time_base)


def _usual_step(starts: np.ndarray) -> float:
    """The middle one of the steps between times; a usual one if there is a single time."""
    return float(np.median(np.diff(starts))) if len(starts) > 1 else 1 / USUAL_FPS


def _candidates(starts: np.ndarray, stated_fps: float) -> list[float]:
    """Rates that may be the constant one: as stated, the mean, and the mean as containers state it."""
    mean = (len(starts) - 1) / starts[-1]
    return [fps for fps in (stated_fps, float(Fraction(mean).limit_denominator(1001)), mean) if fps > 0]
