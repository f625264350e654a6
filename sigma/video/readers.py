"""Random access: the frames of one file by number, through one of several readers.

`open_reader` takes the fastest reader that was seen to return the right frames of that file (sigma/video/proof.py).
docs/reading.md has the table of readers: truth and speed by kind of file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sigma.errors import DecodeError
from sigma.video.look import Frame, ToRGB
from sigma.video.opening import OpenVideo, open_video
from sigma.video.seeking import SeekTable
from sigma.video.stills import STILL, StillReader

PROVED = 'proved'  # the fastest reader that was proved for the file
FROM_START = 'pyav_from_start'  # how records call PyAV if it decodes up to the frame instead of seeking


# Decoders that can leave out one frame that no other needs, and go on. dav1d (AV1) then loses others.
_SKIPPING_CODECS = {'h264', 'hevc', 'mpeg4', 'mpeg2video', 'mpeg1video'}


class Reader(Protocol):
    """Frames of one file by number. Raises DecodeError if the file cannot be opened or decoded."""

    @property
    def num_frames(self) -> int:
        """Frames that a player shows."""
        ...

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of frames `indices` (n,); a number may repeat."""
        ...


@dataclass(frozen=True)
class Proof:
    """What is known about reading one file, and which readers were seen to return its right frames.

    Attributes:
        num_frames: Frames that a player shows.
        readers: Names in `READERS` of the readers whose random access is right.
        seeking: Where PyAV may start, as text (`SeekTable.to_text`), since data sets hold many of them; empty: it
            reads from the start of the file.
    """

    num_frames: int
    readers: tuple[str, ...] = ()
    seeking: str = ''


class PyAVReader:
    """Frames of one file through PyAV, strictly: damage raises.

    Args:
        path: The file.
        proof: What the index knows of the file. Without one, frames are counted from the start of the file.
    """

    def __init__(self, path: str, proof: Proof | None = None) -> None:
        self.path = path
        self.seeking = SeekTable.from_text(proof.seeking) if proof and proof.seeking else None
        self._num_frames = proof.num_frames if proof else 0
        self._is_proved = proof is not None

    @property
    def num_frames(self) -> int:
        """Frames that a player shows; without a proof, all are decoded to count them."""
        if not self._num_frames:
            with open_video(self.path, strict=False) as video:
                self._num_frames = sum(1 for _ in video.frames())
        return self._num_frames

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of the given frames, each decoded once."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        found = self._found(wanted.tolist())
        return found if len(found) == len(inverse) and (np.diff(inverse) == 1).all() else found[inverse]

    def _found(self, numbers: list[int]) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of increasing frame numbers."""
        if self.seeking is not None:
            # From some key frames of open GOPs, a strict decoder cannot go on; from the start of the file it can.
            with suppress(DecodeError), self._opened() as video:
                return self._filled(sought(video, self.seeking, numbers), numbers)
        with self._opened() as video:
            return self._filled(_counted(video.frames(), 0, numbers), numbers)

    def _opened(self) -> AbstractContextManager[OpenVideo]:
        # The strict pass accepts some containers with small faults (sigma/video/whole.py).
        return open_video(self.path, strict_container=not self._is_proved, threads=1)

    def _filled(self, decoded: Iterator[tuple[int, Frame]], numbers: list[int]) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of all of `numbers`."""
        to_rgb, out = ToRGB(), np.empty((len(numbers), 0, 0, 3), np.uint8)
        rows = {number: row for row, number in enumerate(numbers)}
        num_found = 0
        for number, frame in decoded:
            image = to_rgb(frame)
            if not num_found:
                out = np.empty((len(numbers), *image.shape), np.uint8)
            if image.shape != out.shape[1:]:
                raise DecodeError(f'{self.path}: its frames up to {numbers[-1]} are of several sizes')
            out[rows[number]] = image
            num_found += 1
        if num_found < len(numbers):
            raise DecodeError(f'{self.path}: ends before frame {numbers[-1]}')
        return out


def _counted(frames: Iterator[Frame], first: int, numbers: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """(number, frame) of the increasing `numbers`, of frames that are numbered from `first`."""
    wanted, last = set(numbers), numbers[-1]
    for number, frame in enumerate(frames, first):
        if number in wanted:
            yield number, frame
        if number >= last:
            return


def sought(video: OpenVideo, table: SeekTable, numbers: list[int]) -> Iterator[tuple[int, Frame]]:
    """(number, frame) of the increasing `numbers`, found by seeking."""
    for start, group in table.groups(numbers):
        packets = video.container.demux(video.stream) if start is None else table.packets_from(video, start)
        if table.frame_pts:
            first = None if start is None else table.stamps[start][0]
            yield from _by_pts(
                video, packets, {table.frame_pts[number]: number for number in group}, first, table.intra
            )
        else:
            frames: Iterator[Frame] = (frame for packet in packets for frame in packet.decode())
            if start is not None:
                frames = _from_key_frame(frames)
            yield from _counted(frames, 0 if start is None else table.numbers[start], group)


def _by_pts(
    video: OpenVideo, packets: Iterator, wanted: dict[int, int], first: int | None, intra: bool
) -> Iterator[tuple[int, Frame]]:
    """(number, frame) of the frames whose pts is wanted; frames that no other needs are left undecoded.

    Args:
        wanted: pts -> number.
        first: pts of the key frame that reading starts from. Frames that are shown before it refer to frames before
            it, which were not read. None: reading starts with the file.
        intra: No frame needs another.
    """
    codec: Any = video.stream.codec_context
    can_skip, left, skips = codec.name in _SKIPPING_CODECS, len(wanted), None
    for packet in packets:
        if packet.pts is not None and packet.pts not in wanted:
            if intra or (first is not None and packet.pts < first):
                continue
            skip = can_skip
        else:
            skip = False
        if skip != skips:
            codec.skip_frame, skips = 'NONREF' if skip else 'DEFAULT', skip
        for frame in packet.decode():
            number = wanted.get(frame.pts)
            if number is not None:
                yield number, frame
                left -= 1
                if not left:
                    return


def _from_key_frame(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Leave out frames that are shown before the key frame and refer to frames before it."""
    for frame in frames:
        if frame.key_frame:
            yield frame
            yield from frames
            return


class DecordReader:
    """Frames of one file through decord. Cannot read AV1, conceals some damage, miscounts frames of some files."""

    def __init__(self, path: str, proof: Proof | None = None) -> None:
        import decord

        try:
            self._reader = decord.VideoReader(path, num_threads=1)
            self.num_frames = len(self._reader)
        except Exception as error:  # decord raises its own class, RuntimeError or IndexError, by kind of damage
            raise DecodeError(f'{path}: decord cannot open it ({_first_line(error)})') from None
        self.path = path

    @property
    def key_frames(self) -> list[int]:
        """Frame numbers of key frames, as decord counts them."""
        return [int(number) for number in self._reader.get_key_indices()]

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of the given frames, each decoded once."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        try:
            return self._reader.get_batch(wanted.tolist()).asnumpy()[inverse]
        except Exception as error:
            raise DecodeError(f'{self.path}: decord cannot decode it ({_first_line(error)})') from None


class TorchCodecReader:
    """Frames of one file through torchcodec, with exact seeks. Needs torchcodec and the shared libraries of FFmpeg."""

    def __init__(self, path: str, proof: Proof | None = None) -> None:
        try:
            from torchcodec.decoders import VideoDecoder

            self._decoder = VideoDecoder(path, dimension_order='NHWC', num_ffmpeg_threads=1, seek_mode='exact')
            self.num_frames = len(self._decoder)
        except Exception as error:  # a missing library is a RuntimeError of many lines
            raise DecodeError(f'{path}: torchcodec cannot open it ({_first_line(error)})') from None
        self.path = path

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB of the given frames, each decoded once."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        try:
            return self._decoder.get_frames_at(wanted.tolist()).data.numpy()[inverse]
        except Exception as error:
            raise DecodeError(f'{self.path}: torchcodec cannot decode it ({_first_line(error)})') from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1 if lines and lines[0].startswith('[') else 0][:160] if lines else type(error).__name__


# Fastest first (docs/reading.md).
READERS: dict[str, Callable[..., Any]] = {'pyav': PyAVReader, 'torchcodec': TorchCodecReader, 'decord': DecordReader}


def installed_readers() -> list[str]:
    """Readers whose package is here, fastest first."""
    return [name for name in READERS if name == 'pyav' or importlib.util.find_spec(name)]


def known_reader(name: str) -> str:
    """The name, if it is `proved` or one of `READERS`.

    Raises:
        ValueError: naming the known ones.
    """
    if name not in (PROVED, *READERS):
        raise ValueError(f'Unknown reader {name!r}. Known: {", ".join((PROVED, *READERS))}.')
    return name


def reader_of(proof: Proof | None, asked: str = PROVED) -> str | None:
    """Which reader serves a file: a name in `READERS` or `FROM_START`; None if the one asked for was not proved for it.

    PyAV from the start of the file serves every file that was decoded whole, since that is how it was decoded. Images
    have one reader of their own, `STILL`.

    Args:
        proof: Of the file; None if no index knows it.
        asked: A name in `READERS`, or `proved` for the fastest that was proved.
    """
    proved = proof.readers if proof else ()
    if STILL in proved:  # an image, whatever was asked for
        return STILL
    if asked == PROVED:
        return next((name for name in installed_readers() if name in proved), FROM_START)
    return asked if asked in proved else FROM_START if asked == 'pyav' else None


def open_reader(path: str, asked: str = PROVED, proof: Proof | None = None) -> Reader:
    """Open a file with the fastest reader that was proved for it, or with the one asked for.

    Args:
        path: The file.
        asked: A name in `READERS`, or `proved`.
        proof: Of the file, from its index; None serves PyAV alone.

    Raises:
        DecodeError: if the reader asked for was not proved for this file, or cannot open it.
    """
    name = reader_of(proof, known_reader(asked))
    if name is None:
        proved = [FROM_START.replace('_', ' '), *(proof.readers if proof else ())]
        raise DecodeError(
            f'{path}: reader {asked!r} was not seen to return the right frames of this file; proved for it: '
            f"{', '.join(proved)}. Use decoder='{PROVED}', or prepare the dataset again with SIGMA_PROVE={asked}."
        )
    if name == STILL:
        return StillReader(path)
    return READERS[name.removesuffix(FROM_START.removeprefix('pyav'))](path, proof)
