"""How a decoded frame is shown: which way up, and in which colours."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

Frame = av.VideoFrame
LIMITED, FULL = 1, 2  # ranges
RGB, BT601 = 0, 5  # matrices


@dataclass(frozen=True)
class Colour:
    """What a stream says about its colours, in the numbers of ITU-T H.273, as FFmpeg has them.

    Attributes:
        matrix: From RGB to luma and chroma: 1 BT.709, 5 and 6 BT.601, 9 BT.2020, 0 RGB, 2 unknown (shown as BT.601).
        range: 1 limited (luma 16 to 235), 2 full, 0 unknown (shown as limited).
        primaries, transfer: 1 BT.709, 2 unknown, ...
    """

    matrix: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2

    @classmethod
    def of(cls, frame: Frame) -> Colour:
        """The colours of a decoded frame. RGB and palettes, as in gif and png, have matrix 0 and the full range."""
        if frame.format.is_rgb or frame.format.has_palette:
            return cls(RGB, FULL, int(frame.color_primaries), int(frame.color_trc))
        return cls(*(int(tag) for tag in (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)))

    @property
    def shown(self) -> tuple[int, int]:
        """(matrix, range) that FFmpeg shows it with: where tags are absent, BT.601 and the limited range."""
        return BT601 if self.matrix in (2, 6) else self.matrix, self.range or LIMITED


@dataclass(frozen=True)
class Turn:
    """The way from a decoded frame to an upright one: transpose it, then flip it.

    Attributes:
        transpose: Swap rows and columns.
        flip_rows, flip_columns: Reverse the order of rows, of columns; after transposing.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: Frame) -> Turn:
        """The turn that a frame's display matrix asks for; angles between right ones go to the nearest."""
        matrix: Any = frame.side_data.get('DISPLAYMATRIX')
        if matrix is None:
            return cls()
        # A step to the right in the decoded frame is one of (a, b) on screen, a step down is one of (c, d).
        a, b, _, c, d = struct.unpack_from('=5i', bytes(matrix))
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, b < 0, c < 0)
        return cls(False, d < 0, a < 0)

    @property
    def rotation(self) -> int:
        """Degrees counterclockwise: 0, 90, 180 or 270. See `mirrors` for what it leaves out."""
        if self.transpose:
            return 90 if self.flip_rows else 270
        return 180 if self.flip_rows else 0

    @property
    def mirrors(self) -> bool:
        """Whether left and right are swapped, which no rotation does."""
        return self.transpose ^ self.flip_rows ^ self.flip_columns

    def __bool__(self) -> bool:
        return self.transpose or self.flip_rows or self.flip_columns

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn (H, W, ...) to (H, W, ...) or (W, H, ...), contiguous."""
        if not self:
            return image
        if self.transpose:
            image = image.swapaxes(0, 1)
        return np.ascontiguousarray(image[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1])

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after the turn; also the size before it that gives this one."""
        return (height, width) if self.transpose else (width, height)


class ToRGB:
    """Converts PyAV's frames to upright RGB in the colours that FFmpeg shows, with one converter for a file.

    `frame.to_ndarray` sets up a new converter for each frame: the same bytes in three times the time. Matrix and range
    of each frame are honoured; where it has none, BT.601 in limited range, as FFmpeg does.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._converter = VideoReformatter()

    def __call__(self, frame: Frame) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        # Threads cost more than they save: 0.15 instead of 0.05 ms a frame of 320x240.
        return Turn.of(frame).apply(self._converter.reformat(frame, format='rgb24', threads=1).to_ndarray())
