"""Writes videos: H.264 or Motion JPEG in mp4, the same bytes for the same frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.codec.context
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from sigma.video.look import BT601, FULL, RGB, Colour, Frame, Turn
from sigma.video.times import FrameTimes

# The x264 of PyAV's wheel has AVX-512 code for macroblock trees (rate control by quality or bit rate) that reads memory
# it has not written: equal frames gave 5 streams in 16 calls. This takes the plain C code of that part; the rest is
# equal to the bit on all processors. So the stream does not depend on the processor either: of the same frames, the
# code for AVX made 17,093 bytes, that for SSE2 and plain C 17,205.
X264_REPEATABLE = 'cpu-independent=1'
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class H264:
    """Settings of x264, preset `veryfast`, yuv420p, one thread: the same frames give the same bytes on any processor.

    Attributes:
        gop: Frames from one key frame to the next.
        quantiser: Constant quantiser, 0 (lossless) to 51.
        crf: Constant rate factor, 0 to 51. Give this or `quantiser`, or neither for x264's default.
        scene_cuts: Allow extra key frames at scene cuts.
        b_frames: Most B-frames in a row; None uses the preset's number.
        bitexact: Leave the encoder's version out of the file.
    """

    gop: int = 12
    quantiser: int | None = None
    crf: int | None = None
    scene_cuts: bool = False
    b_frames: int | None = 0
    bitexact: bool = False
    encoder = 'libx264'
    pixel_format = 'yuv420p'

    def _configure(self, codec: Any) -> None:
        codec.gop_size = self.gop
        if self.b_frames is not None:
            codec.max_b_frames = self.b_frames
        if self.bitexact:
            codec.flags |= av.codec.context.Flags.bitexact
        quality = {'qp': self.quantiser, 'crf': self.crf}
        params = ['threads=1'] + ([] if self.scene_cuts else ['open-gop=0'])
        if (
            self.quantiser is None
        ):  # a constant quantiser has no macroblock trees, and x264 writes its options into the file
            params.append(X264_REPEATABLE)
        codec.options = {
            **{name: str(value) for name, value in quality.items() if value is not None},
            'preset': 'veryfast',
            **({} if self.scene_cuts else {'sc_threshold': '0'}),
            'x264-params': ':'.join(params),
        }


@dataclass(frozen=True)
class Jpeg:
    """Every frame a JPEG image.

    Attributes:
        quantiser: FFmpeg's, 1 (best) to 31.
    """

    quantiser: int = 2
    bitexact: bool = False
    encoder = 'mjpeg'
    pixel_format = 'yuvj420p'

    def _configure(self, codec: Any) -> None:
        codec.options = {'qmin': str(self.quantiser), 'qmax': str(self.quantiser)}


class VideoWriter:
    """Writes one video without sound to an mp4 file; a context manager. One thread.

    Args:
        file: Path, or a binary file that can seek. Not atomic: the caller renames.
        size: (width, height) in pixels of an upright frame, both even.
        rate: Frames per second; or the times of the frames, which the file then keeps to the millisecond.
        coding: `H264` or `Jpeg` settings.
        colour: Of the file, which is tagged with it; frames of other colours are converted. None leaves the file
            without tags, which every reader takes as BT.601 in limited range. RGB becomes that too, and so, in full
            range, does Motion JPEG, which knows nothing else.

    Attributes:
        num_sent: Frames given to the encoder.
        num_written: Frames that came out of the encoder; equal to `num_sent` after the block if all went well.

    Raises:
        sigma.video.FFmpegError: if FFmpeg cannot encode or write.
    """

    def __init__(
        self,
        file: str | os.PathLike | BinaryIO,
        size: tuple[int, int],
        rate: float | Fraction | FrameTimes,
        coding: H264 | Jpeg,
        colour: Colour | None = None,
    ) -> None:
        options = {'fflags': '+bitexact'} if coding.bitexact else {}
        target = os.fspath(file) if isinstance(file, (str, os.PathLike)) else file
        fps = rate.fps if isinstance(rate, FrameTimes) else rate
        self._times = rate if isinstance(rate, FrameTimes) and not rate.is_constant else None
        self._container = av.open(target, 'w', format='mp4', options=options)
        self._rate = exact_rate(fps)
        stream: Any = self._container.add_stream(coding.encoder, rate=self._rate)
        stream.width, stream.height = size
        stream.pix_fmt = coding.pixel_format
        codec = stream.codec_context
        codec.thread_count = 1
        coding._configure(codec)
        if self._times is not None:
            codec.time_base = _MILLISECOND
        self._colour = _storable(colour, coding)
        if self._colour != Colour() and isinstance(coding, H264):
            codec.colorspace, codec.color_range = self._colour.matrix, self._colour.range
            codec.color_primaries, codec.color_trc = self._colour.primaries, self._colour.transfer
        self._stream, self._size, self._converter = stream, size, VideoReformatter()
        self._ends_ms: dict[int, int] = {}  # start of a frame -> its end
        self._last_ms = -1
        self.num_sent = self.num_written = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self._encode(None)
        finally:
            self._container.close()

    def write(self, frame: Frame | np.ndarray) -> None:
        """Append a frame: (H, W, 3) uint8 RGB of the video's size, or a decoded one, turned upright and resized to it.

        Frame n is shown at n / rate, or at the n-th of the given times, whatever the time of a decoded frame.

        Raises:
            IndexError: if there are more frames than times.
        """
        if isinstance(frame, np.ndarray):
            frame = self._converted(
                av.VideoFrame.from_ndarray(frame, format='rgb24'), *self._size, Interpolation.BILINEAR
            )
        else:
            turn = Turn.of(frame)
            frame = _turned(self._converted(frame, *turn.size(*self._size)), turn)
            frame.pict_type = 0  # otherwise the source's key frames would become ours
        frame.pts, frame.time_base = self._next_time()
        self.num_sent += 1
        self._encode(frame)

    def _converted(
        self, frame: Frame, width: int, height: int, resampling: Interpolation = Interpolation.AREA
    ) -> Frame:
        """The frame in the encoder's pixel format, in the colours of the file."""
        wanted, found = self._colour.shown, Colour.of(frame).shown
        colours: dict[str, Any] = {}
        if wanted != found:
            colours = {'dst_colorspace': wanted[0], 'dst_color_range': wanted[1]}
            if found not in (Colour().shown, Colour(RGB, FULL).shown):  # FFmpeg rounds down twice unless told
                resampling |= Interpolation.ACCURATE_RND
        return self._converter.reformat(
            frame, width, height, self._stream.pix_fmt, interpolation=resampling, threads=1, **colours
        )

    def _next_time(self) -> tuple[int, Fraction]:
        """Time of the next frame, and its unit. Two frames at one time are put a millisecond apart: mp4 needs that."""
        if self._times is None:
            return self.num_sent, 1 / self._rate
        if self.num_sent >= self._times.num_frames:
            raise IndexError(f'{self._times.num_frames} frame times were given, and more frames came')
        start, end = (int(ms) for ms in self._times.borders_ms[self.num_sent : self.num_sent + 2])
        start = max(start, self._last_ms + 1)
        self._ends_ms[start], self._last_ms = max(end, start + 1), start
        return start, _MILLISECOND

    def _encode(self, frame: Frame | None) -> None:
        for packet in self._stream.encode(frame):
            if self._times is not None:  # the last one has no successor that would end it
                packet.duration = self._ends_ms.pop(packet.pts) - packet.pts
            self._container.mux(packet)
            self.num_written += 1


def _storable(colour: Colour | None, coding: H264 | Jpeg) -> Colour:
    """The colours that a file can have: as asked, but for RGB and Motion JPEG."""
    if isinstance(coding, Jpeg):
        return Colour(BT601, FULL)
    return Colour() if colour is None or colour.matrix == RGB else colour


def _turned(frame: Frame, turn: Turn) -> Frame:
    """A frame of 4:2:0 planes, turned."""
    if not turn:
        return frame
    planes = []
    coded: Any = frame.planes
    for plane, share in zip(coded, (1, 2, 2)):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(turn.apply(rows[: frame.height // share, : frame.width // share]).ravel())
    width, height = turn.size(frame.width, frame.height)
    return av.VideoFrame.from_ndarray(np.concatenate(planes).reshape(-1, width), format=frame.format.name)


def exact_rate(fps: float | Fraction) -> Fraction:
    """Frames per second as a fraction with a denominator of at most 1001, as containers state it."""
    return fps if isinstance(fps, Fraction) else Fraction(fps).limit_denominator(1001)


def even(side: float, least: int = 2) -> int:
    """The nearest even number of pixels, which 4:2:0 needs."""
    return max(least, 2 * round(side / 2))


def write_frames(
    file: str | os.PathLike | BinaryIO, frames: np.ndarray, rate: float | Fraction, coding: H264 | Jpeg
) -> None:
    """Write (T, H, W, 3) uint8 RGB, H and W even, as one video."""
    height, width = frames.shape[1:3]
    with VideoWriter(file, (width, height), rate, coding) as writer:
        for frame in frames:
            writer.write(frame)
