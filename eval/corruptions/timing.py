"""How long corruptions take, on a photograph under a panning camera."""

from __future__ import annotations

import time
from collections.abc import Iterable

import cv2
import numpy as np

from eval.corruptions.corruption import CORRUPTIONS, get_corruption


def sample_frames(num_frames: int, height: int, width: int | None = None) -> np.ndarray:
    """(num_frames, height, width, 3) uint8: a photograph (scikit-image's astronaut) under a panning camera."""
    from skimage import data

    width = width or height
    photograph = data.astronaut()
    scale = 1.2 * max(height / 512, width / 512)
    size = round(512 * scale)
    photograph = cv2.resize(photograph, (size, size), interpolation=cv2.INTER_AREA)
    room_y, room_x = size - height, size - width
    # Back and forth, at most two pixels per frame.
    swing = [abs((2 * t) % (2 * max(room_x, 1)) - room_x) for t in range(num_frames)]
    return np.stack([photograph[room_y // 2 :, x:][:height, :width] for x in swing])


def time_corruptions(
    size: int = 256, num_frames: int = 16, names: Iterable[str] | None = None, repeats: int = 1
) -> dict[str, dict]:
    """Milliseconds per frame on one core, for each corruption.

    Args:
        size: Side of the square frames in pixels.
        num_frames: Frames per call. Work that all frames share is done once per call.
        names: Corruptions to time (default: all).
        repeats: Calls per severity; the fastest counts.

    Returns:
        name -> family, acts_on, `ms` (mean over severities), `worst_ms` and its `worst_severity`. If it cannot run
        here, name -> family, acts_on and `unavailable` with the reason.

    Raises:
        DataError: on an unknown name.
    """
    frames, threads = sample_frames(num_frames, size), cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return {name: _time(get_corruption(name), frames, repeats) for name in (names or CORRUPTIONS)}
    finally:
        cv2.setNumThreads(threads)


def _time(corruption, frames: np.ndarray, repeats: int) -> dict:
    found: dict = {'family': corruption.family, 'acts_on': corruption.acts_on}
    if (reason := corruption.unavailable()) is not None:
        return found | {'unavailable': reason}
    times = []
    for severity in range(1, len(corruption.levels) + 1):
        call = _call(corruption, frames, severity)
        call()  # the first call fills tables and caches
        times.append(min(_seconds(call) for _ in range(repeats)) / len(frames) * 1000)
    worst = int(np.argmax(times))
    return found | {'ms': float(np.mean(times)), 'worst_ms': times[worst], 'worst_severity': worst + 1}


def _call(corruption, frames: np.ndarray, severity: int):
    if corruption.acts_on == 'order':
        return lambda: corruption.order(len(frames), severity, 'video', fps=30.0)
    return lambda: corruption(frames, severity, 'video')


def _seconds(call) -> float:
    start = time.process_time()  # of this process only, so other load on the machine counts little
    call()
    return time.process_time() - start
