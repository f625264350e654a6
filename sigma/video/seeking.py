"""Where to start reading a file to reach a frame: its key frames, and the timestamps that tell its frames apart."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sigma.errors import DecodeError

if TYPE_CHECKING:
    from av.packet import Packet

    from sigma.video.opening import OpenVideo

SEEK_FRAMES = 8  # a seek costs about as much as decoding so many frames; start points need not be closer
_SEARCHED_PACKETS = 512  # a seek in a transport stream lands somewhere before its target


class CannotSeek(DecodeError):
    """The file did not go to the key frame that the table names."""


@dataclass(frozen=True)
class SeekTable:
    """Key frames to start from.

    Attributes:
        numbers: Frame numbers of key frames, in display order. Frames before the first are read from the file's start.
        stamps: (pts, dts) of the packet of each of them, in units of the stream; None where the file has none.
        frame_pts: pts of every frame, strictly increasing; empty if the file has no such timestamps. Frames are then
            counted from the key frame.
        intra: Every frame is a key frame, so that any packet can be left out.
    """

    numbers: tuple[int, ...]
    stamps: tuple[tuple[int | None, int | None], ...]
    frame_pts: tuple[int, ...] = ()
    intra: bool = False

    def start_of(self, number: int) -> int | None:
        """Position in `numbers` of the last key frame up to a frame; None: the start of the file."""
        place = bisect.bisect_right(self.numbers, number) - 1
        return place if place >= 0 and self.numbers[place] > 0 else None

    def groups(self, numbers: Iterable[int]) -> Iterator[tuple[int | None, list[int]]]:
        """Split increasing frame numbers into (start, numbers) that are best read in one go."""
        group: list[int] = []
        start: int | None = None
        for number in numbers:
            place = self.start_of(number)
            if group and (place is None or self.numbers[place] <= group[-1] + SEEK_FRAMES):
                group.append(number)
                continue
            if group:
                yield start, group
            start, group = place, [number]
        if group:
            yield start, group

    def packets_from(self, video: OpenVideo, start: int) -> Iterator[Packet]:
        """Packets from a key frame on.

        Raises:
            CannotSeek: if the file does not go there.
        """
        wanted = self.stamps[start]
        for stamp in dict.fromkeys(wanted):
            if stamp is None:
                continue
            video.container.seek(stamp, stream=video.stream, backward=True)
            packets = video.container.demux(video.stream)
            for _, packet in zip(range(_SEARCHED_PACKETS), packets, strict=False):
                if packet.is_keyframe and _same(wanted, (packet.pts, packet.dts)):
                    yield packet
                    yield from packets
                    return
        raise CannotSeek(f'{video.path}: no seek reaches frame {self.numbers[start]}')

    def to_text(self) -> str:
        """In one line, which is short if frames and key frames come at equal distances; `from_text` reads it."""
        pts, dts = zip(*self.stamps, strict=True) if self.stamps else ((), ())
        parts = [runs_of(values) for values in (self.numbers, pts, dts, self.frame_pts)]
        return ' '.join([*(part or '-' for part in parts), 'intra' if self.intra else 'inter'])

    @classmethod
    def from_text(cls, text: str) -> SeekTable:
        """The table that `to_text` wrote.

        Raises:
            ValueError: if it is none.
        """
        *parts, kind = text.split(' ')
        numbers, pts, dts, frame_pts = (values_of('' if part == '-' else part) for part in parts)
        return cls(numbers, tuple(zip(pts, dts, strict=True)), frame_pts, kind == 'intra')  # type: ignore[arg-type]


def _same(wanted: tuple[int | None, int | None], found: tuple[int | None, int | None]) -> bool:
    """Whether two (pts, dts) are of one packet; dts may be missing right after a seek."""
    return found[0] == wanted[0] if wanted[0] is not None else found[1] == wanted[1]


def runs_of(values: Sequence[int | None]) -> str:
    """Numbers as runs: `0x25+12` is 0, 12, ... (25 numbers); `5` is one number, `?x3` three that are not known."""
    runs: list[tuple[int | None, int, int]] = []  # (first, count, step)
    for value in values:
        if runs:
            first, count, step = runs[-1]
            if value is None or first is None:
                if value is first:
                    runs[-1] = (None, count + 1, 0)
                    continue
            elif count == 1 or value == first + step * count:
                runs[-1] = (first, count + 1, value - first if count == 1 else step)
                continue
        runs.append((value, 1, 0))
    return ','.join(_run_text(*run) for run in runs)


def _run_text(first: int | None, count: int, step: int) -> str:
    if first is None:
        return f'?x{count}'
    return str(first) if count == 1 else f'{first}x{count}{step:+d}'


_RUN = re.compile(r'(\?|-?\d+)(?:x(\d+)([+-]\d+)?)?')


def values_of(text: str) -> tuple[int | None, ...]:
    """The numbers that `runs_of` wrote.

    Raises:
        ValueError: if it wrote no such text.
    """
    values: list[int | None] = []
    for run in text.split(',') if text else ():
        found = _RUN.fullmatch(run)
        if not found:
            raise ValueError(f'{run!r} is no run of numbers')
        first, count, step = found[1], int(found[2] or 1), int(found[3] or 0)
        values += [None] * count if first == '?' else [int(first) + step * place for place in range(count)]
    return tuple(values)
