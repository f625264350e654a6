"""Decodes a file whole and strictly: what it holds, or why it cannot be read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging
import av.stream

from sigma.errors import DecodeError
from sigma.video.opening import reason_of

if TYPE_CHECKING:
    from av.container import InputContainer

# FFmpeg opens these although they are not video files: pictures, and playlists that make it open other files.
_NOT_VIDEO_FORMATS = {'image2', 'concat', 'hls', 'dash', 'tty', 'ffmetadata', 'lavfi'}
# Demuxers only log these messages when a file ends early or its structure is broken.
_SIGNS_OF_DAMAGE = ('prematurely', 'partial file', 'exceeds containing', 'EBML number')


@dataclass(frozen=True)
class WholeVideo:
    """What a file holds, after every frame was decoded.

    Attributes:
        frames: Frames decoded.
        fps: Average frames per second as the container states it; 0 if unknown.
        width, height: Pixels of the first frame.
    """

    frames: int
    fps: float
    width: int
    height: int


class UnreadableVideo(DecodeError):
    """A file that cannot be decoded whole; the message is the reason, without the path."""


def read_whole(path: str | os.PathLike) -> WholeVideo:
    """Decode every frame of a file in one thread, and raise at the first sign of damage.

    Also refuses what FFmpeg only logs (a file that ends early), pictures and playlists, and the cover of a sound file.

    Raises:
        UnreadableVideo: with the reason.
        OSError: if the file cannot be opened.
    """
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # otherwise the second of two files that end early would pass
    try:
        with av.logging.Capture() as log, av.open(os.fspath(path), options={'protocol_whitelist': 'file'}) as container:
            if container.format.name in _NOT_VIDEO_FORMATS or container.format.name.endswith('_pipe'):
                raise UnreadableVideo(f'no video file, but {container.format.name} ({container.format.long_name})')
            stream = _strict_stream(container)
            num_packets, num_frames, width, height = 0, 0, 0, 0
            try:
                for packet in container.demux(stream):
                    num_packets += packet.size > 0
                    for frame in packet.decode():
                        if frame.is_corrupt:
                            raise UnreadableVideo('the decoder marks the frame as corrupt')
                        width, height = width or frame.width, height or frame.height
                        num_frames += 1
            except (UnreadableVideo, av.error.FFmpegError) as error:
                raise UnreadableVideo(f'after {num_frames} frames: {reason_of(error)}') from error
            _check_whole(stream, num_packets, num_frames, os.stat(path).st_size, [entry[2] for entry in log])
            rate = stream.average_rate or stream.guessed_rate or 0
            return WholeVideo(num_frames, round(float(rate), 6), width, height)
    except av.error.FFmpegError as error:
        raise UnreadableVideo(reason_of(error)) from error


def _strict_stream(container: InputContainer) -> Any:
    """The best video stream; its decoder raises on damage. The demuxer stays lenient, its log is read instead."""
    stream = container.streams.best('video')
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:  # the cover of a sound file
        kinds = sorted({stream.type for stream in container.streams})
        raise UnreadableVideo(f'no video stream (streams found: {", ".join(kinds) or "none"})')
    # `explode` makes decoders raise instead of concealing; threads would delay the error past its frame.
    stream.codec_context.options = {'err_detect': 'explode'}
    stream.codec_context.thread_type = 'NONE'
    stream.codec_context.thread_count = 1
    return stream


def _check_whole(stream: Any, num_packets: int, num_frames: int, size_bytes: int, log: list[str]) -> None:
    """Raise if the container promises more than the file holds."""
    if num_frames == 0:
        raise UnreadableVideo('the video stream holds no frame')
    for message in log:
        if any(sign in message for sign in _SIGNS_OF_DAMAGE):
            raise UnreadableVideo(f'after {num_frames} frames: {message.strip()}')
    # Headers of sound AVI files are off by one; a truncated file lacks more than that.
    missing = stream.frames - num_packets
    if missing > 2 and missing > 0.02 * stream.frames:
        raise UnreadableVideo(f'ends early: the header promises {stream.frames} frames, {num_frames} are there')
    end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    if end > size_bytes:
        raise UnreadableVideo(f'ends early: its table points to byte {end}, the file has {size_bytes}')
