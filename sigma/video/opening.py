"""One opened video stream: its frames in display order, and their colours as RGB."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np

from sigma.errors import DecodeError

if TYPE_CHECKING:
    from av.container import InputContainer

FFmpegError = av.error.FFmpegError  # for code that catches it and has no other business with PyAV
Frame = av.VideoFrame


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
        """Decoded frames from the current position, in display order."""
        return self.container.decode(self.stream)


@contextmanager
def open_video(
    path: str | os.PathLike,
    *,
    strict: bool = True,
    threads: int | None = None,
    codec_options: Mapping[str, str] | None = None,
) -> Iterator[OpenVideo]:
    """Open the video stream of a file; only local files are opened, whatever the file itself points to.

    Args:
        path: The file.
        strict: Raise on damage that FFmpeg would otherwise conceal, in the container and in the decoder.
        threads: Decoder threads; 1 raises an error at its own frame. None uses FFmpeg's default.
        codec_options: Further options of the decoder.

    Raises:
        DecodeError: if the file cannot be opened, has no video stream, or FFmpeg fails inside the block. The message
            names the file and the reason.
    """
    # The whitelist keeps a playlist that poses as a video from opening a connection.
    options = {'protocol_whitelist': 'file'} | ({'err_detect': 'explode'} if strict else {})
    doing = 'open'
    try:
        with av.open(os.fspath(path), options=options) as container:
            stream: Any = container.streams.best('video')
            if stream is None:
                raise DecodeError(f'{path}: no video stream')
            stream.codec_context.options = ({'err_detect': 'explode'} if strict else {}) | dict(codec_options or {})
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


def picture_type(frame: Frame) -> str:
    """How the codec coded a frame: `I`, `P`, `B`, ..."""
    return av.video.frame.PictureType(frame.pict_type).name


class ToRGB:
    """Converts PyAV's frames to RGB with one converter.

    `frame.to_ndarray` sets up a new converter for each frame: the same bytes in three times the time.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._converter = VideoReformatter()

    def __call__(self, frame: Frame) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self._converter.reformat(frame, format='rgb24').to_ndarray()


def reason_of(error: Exception) -> str:
    """An error's message on one line, without the path."""
    if isinstance(error, av.error.FFmpegError):
        log: Any = error.log  # (level, component, message) or None
        detail = f' ({log[1]}: {log[2].strip()})' if log else ''
        return f'{error.strerror}{detail}'
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return ' '.join(str(error).split()) or type(error).__name__
