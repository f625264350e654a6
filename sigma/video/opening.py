"""One opened video stream: its frames in display order, which way up and in which colours they are shown, and when."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import av
import av.error

from sigma.errors import DecodeError
from sigma.text import shown
from sigma.video.look import Colour, Frame, Turn
from sigma.video.times import FrameClock, FrameTimes

if TYPE_CHECKING:
    from av.container import InputContainer

FFmpegError = av.error.FFmpegError  # for code that catches it and has no other business with PyAV
NO_DECODER = 'FFmpeg has no decoder for its video stream'  # the codec is unknown, or the file names none
# A decoder stops at larger frames: four times 8K. FFmpeg alone would take 2 GB for one frame of a file that lies.
MOST_PIXELS = 2**27


@dataclass
class OpenVideo:
    """The video stream of an open file.

    Attributes:
        path: The file.
        container: PyAV's container.
        stream: The stream that FFmpeg, and so decord, considers the best one.
    """

    path: str
    container: InputContainer
    stream: Any

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec, such as `h264`."""
        return self.stream.codec_context.name

    @property
    def fps(self) -> float:
        """Average frames per second as the container states it; 0 if unknown."""
        return float(self.stream.average_rate or self.stream.guessed_rate or 0)

    @property
    def stated_frames(self) -> int:
        """Frames as the container states them; 0 if it does not say."""
        return self.stream.frames

    def frames(self) -> Iterator[Frame]:
        """The frames that a player shows, from the current position, in display order.

        FFmpeg drops what the edit list of an mp4 file leaves out, before its start and after its end. Frames are as
        the codec has them: `sigma.video.ToRGB` turns them upright.
        """
        return self.container.decode(self.stream)

    @cached_property
    def first(self) -> Frame:
        """The first shown frame, wherever this stream stands; the file is opened once more for it.

        Raises:
            DecodeError: if there is none, or it cannot be decoded.
        """
        with open_video(self.path, strict=False, threads=1) as video:
            for frame in video.frames():
                return frame
        raise DecodeError(f'{self.path}: the video stream holds no frame')

    @property
    def turn(self) -> Turn:
        """What makes the frames upright. Errors as in `first`."""
        return Turn.of(self.first)

    @property
    def rotation(self) -> int:
        """Degrees counterclockwise, 0, 90, 180 or 270, that make the frames upright. Errors as in `first`."""
        return self.turn.rotation

    @property
    def colour(self) -> Colour:
        """What the stream says about its colours. Errors as in `first`."""
        return Colour.of(self.first)

    def seconds(self, frame: Frame) -> float | None:
        """Seconds from the first shown frame to this one; None if the container gives one of them no time.

        AVI files know no time of a frame, only an order: take `FrameTimes` of the whole file (`frame_times`).
        """
        first = self.first
        if frame.pts is None or first.pts is None:
            return None
        return float(frame.pts * Fraction(frame.time_base or 0) - first.pts * Fraction(first.time_base or 0))


@contextmanager
def open_video(
    path: str | os.PathLike,
    *,
    strict: bool = True,
    strict_container: bool | None = None,
    threads: int | None = None,
    codec_options: Mapping[str, str] | None = None,
) -> Iterator[OpenVideo]:
    """Open the video stream of a file; only local files are opened, whatever the file itself points to.

    Args:
        path: The file.
        strict: Raise on damage that FFmpeg would otherwise conceal, in the decoder and in the container.
        strict_container: The same for the container alone; None: as `strict`. `read_whole` is lenient here and reads
            FFmpeg's log instead, so whoever reads a file that it let pass must be lenient too.
        threads: Decoder threads; 1 raises an error at its own frame. None uses FFmpeg's default.
        codec_options: Further options of the decoder.

    Raises:
        DecodeError: if the file cannot be opened, has no video stream, or FFmpeg fails inside the block. The message
            names the file and the reason.
    """
    # The whitelist keeps a playlist that poses as a video from opening a connection.
    is_strict = strict if strict_container is None else strict_container
    options = {'protocol_whitelist': 'file'} | ({'err_detect': 'explode'} if is_strict else {})
    doing = 'open'
    try:
        with av.open(os.fspath(path), options=options) as container:
            stream: Any = container.streams.best('video')
            if stream is None:
                raise DecodeError(f'{path}: no video stream')
            if stream.codec_context is None:
                raise DecodeError(f'{path}: {NO_DECODER}')
            stream.codec_context.options = (
                {'max_pixels': str(MOST_PIXELS)}
                | ({'err_detect': 'explode'} if strict else {})
                | dict(codec_options or {})
            )
            if threads is not None:
                stream.codec_context.thread_type = 'NONE' if threads == 1 else 'AUTO'
                stream.codec_context.thread_count = threads
            doing = 'decode'
            yield OpenVideo(os.fspath(path), container, stream)
    except av.error.FFmpegError as error:
        raise DecodeError(f'{path}: PyAV cannot {doing} it ({reason_of(error)})') from None


def frames_of(path: str | os.PathLike) -> Iterator[Frame]:
    """All frames of a video, each decoded once, strictly.

    Raises:
        DecodeError: as `open_video`.
    """
    with open_video(path) as video:
        yield from video.frames()


def frame_times(path: str | os.PathLike) -> FrameTimes:
    """When the frames of a video are shown; decodes all of it. The index of a dataset has them already.

    Raises:
        DecodeError: as `open_video`; also if there is no frame.
    """
    with open_video(path, strict=False) as video:
        clock = FrameClock(video.fps)
        try:
            for frame in video.frames():
                clock.add(frame)
            return clock.times()
        except ValueError:
            raise DecodeError(f'{path}: the video stream holds no frame') from None


def picture_type(frame: Frame) -> str:
    """How the codec coded a frame: `I`, `P`, `B`, ..."""
    return av.video.frame.PictureType(frame.pict_type).name


def reason_of(error: Exception) -> str:
    """An error's message on one line, without the path; FFmpeg quotes bytes of the file, so they are escaped."""
    if isinstance(error, av.error.FFmpegError):
        log: Any = error.log  # (level, component, message) or None
        detail = f' ({log[1]}: {log[2].strip()})' if log else ''
        return shown(f'{error.strerror}{detail}')
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return shown(' '.join(str(error).split())) or type(error).__name__
