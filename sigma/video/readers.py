"""Random access: the frames of one file by number, through one of several readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from sigma.errors import DecodeError
from sigma.video.look import ToRGB
from sigma.video.opening import open_video


class Reader(Protocol):
    """Frames of one file by number. Raises DecodeError if the file cannot be opened or decoded."""

    num_frames: int

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of frames `indices` (n,); a number may repeat."""
        ...


class DecordReader:
    """Frames of one file through decord: fast, seeks to key frames. Cannot read AV1 and conceals some damage."""

    def __init__(self, path: str) -> None:
        import decord

        try:
            self._reader = decord.VideoReader(path, num_threads=1)
            self.num_frames = len(self._reader)
        except Exception as error:  # decord raises its own class, RuntimeError or IndexError, by kind of damage
            raise DecodeError(f'{path}: decord cannot open it ({_first_line(error)})') from None
        self.path = path

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of the given frames, each decoded once."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        try:
            return self._reader.get_batch(wanted.tolist()).asnumpy()[inverse]
        except Exception as error:
            raise DecodeError(f'{self.path}: decord cannot decode it ({_first_line(error)})') from None


class PyAVReader:
    """Frames of one file through PyAV: reads from the start, raises on damage that decord conceals, reads AV1.

    Args:
        path: The file.
        num_frames: If known; otherwise taken from the container, or counted.
    """

    def __init__(self, path: str, num_frames: int | None = None) -> None:
        self.path = path
        with open_video(path, strict=False) as video:
            self.num_frames: int = num_frames or video.stated_frames or sum(1 for _ in video.frames())

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of the given frames; decodes up to the last of them, each once."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        wanted_set, last = set(wanted.tolist()), int(wanted[-1])
        taken, to_rgb = [], ToRGB()
        with open_video(self.path) as video:
            for number, frame in enumerate(video.frames()):
                if number in wanted_set:
                    taken.append(to_rgb(frame))
                if number >= last:
                    break
        if len(taken) < len(wanted):
            raise DecodeError(f'{self.path}: ends before frame {last}')
        if len({frame.shape for frame in taken}) > 1:
            raise DecodeError(f'{self.path}: its frames up to {last} are of several sizes')
        return np.stack(taken)[inverse]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1 if lines and lines[0].startswith('[') else 0][:160] if lines else type(error).__name__


READERS: dict[str, Callable[[str], Reader]] = {'decord': DecordReader, 'pyav': PyAVReader}
