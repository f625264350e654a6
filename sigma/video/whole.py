"""Decodes a file whole and strictly: what it holds, or why it cannot be read."""

from __future__ import annotations

import logging
import os
import zlib
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging
import av.stream
import numpy as np

from sigma.errors import DecodeError
from sigma.video.look import Colour, Frame, ToRGB, Turn
from sigma.video.opening import MOST_PIXELS, NO_DECODER, reason_of
from sigma.video.seeking import SEEK_FRAMES, SeekTable
from sigma.video.times import FrameClock, FrameTimes

if TYPE_CHECKING:
    from av.container import InputContainer

# FFmpeg opens these although they are not video files: pictures, and playlists that make it open other files.
_NOT_VIDEO_FORMATS = {'image2', 'concat', 'hls', 'dash', 'tty', 'ffmetadata', 'lavfi'}
# FFmpeg only logs these messages when a file ends early, its structure is broken, or a header lies.
_SIGNS_OF_DAMAGE = (
    *('prematurely', 'partial file', 'exceeds containing', 'EBML number'),
    *('LZW decode failed', 'Picture size'),  # a GIF then ends; a stream loses its display matrix
)
# Formats that hold no presentation times: FFmpeg guesses them, and guesses otherwise after a seek.
_WITHOUT_PTS = {'avi'}
_FFMPEG_LOG, _NOWHERE = logging.getLogger('libav'), logging.NullHandler()
_SIGNED_BYTES = 16384  # of a frame
_SIGNED_FIRST, _SIGNED_SHARE = 8, 0.1  # frames: the first ones, and a share of the others
_B_PICTURE = int(av.video.frame.PictureType.B)


@dataclass(frozen=True)
class WholeVideo:
    """What a file holds, after every frame was decoded.

    Attributes:
        frames: Frames that a player shows.
        times: When each of them is shown.
        width, height: Pixels of an upright frame.
        rotation: Degrees counterclockwise, 0, 90, 180 or 270, that make the decoded frames upright.
        colour: What the stream says about its colours.
        key_frames: Frame numbers of key frames.
        has_b_frames: Whether a frame refers to later ones.
        seeking: Where random access may start, as far as key frames and timestamps tell; not tried.
        signatures: Frame number -> checksum of the decoded frame, for frames beside key frames and some at random.
            Equal checksums: equal pixels, in the rows that were taken.
    """

    frames: int
    times: FrameTimes
    width: int
    height: int
    rotation: int
    colour: Colour
    key_frames: tuple[int, ...]
    has_b_frames: bool
    seeking: SeekTable | None
    signatures: dict[int, int] = field(compare=False, repr=False)

    @property
    def fps(self) -> float:
        """Mean frames per second, from the timestamps."""
        return self.times.fps


class UnreadableVideo(DecodeError):
    """A file that cannot be decoded whole; the message is the reason, without the path."""


def read_whole(path: str | os.PathLike, seed: str | int = 0) -> WholeVideo:
    """Decode every frame of a file in one thread, and raise at the first sign of damage.

    Also refuses what FFmpeg only logs (a file that ends early), pictures and playlists, the cover of a sound file, and
    a stream whose frames change size.

    Args:
        path: The file.
        seed: Decides which random frames get a signature.

    Raises:
        UnreadableVideo: with the reason.
        OSError: if the file cannot be opened.
    """
    av.logging.set_level(av.logging.ERROR)
    _FFMPEG_LOG.addHandler(_NOWHERE)  # what matters becomes the reason; Python would print the rest to stderr
    av.logging.set_skip_repeated(False)  # otherwise the second of two files that end early would pass
    try:
        with av.logging.Capture() as log, av.open(os.fspath(path), options={'protocol_whitelist': 'file'}) as container:
            if container.format.name in _NOT_VIDEO_FORMATS or container.format.name.endswith('_pipe'):
                raise UnreadableVideo(f'no video file, but {container.format.name} ({container.format.long_name})')
            stream = _strict_stream(container)
            seen = _Seen(float(stream.average_rate or stream.guessed_rate or 0), container.format.name, seed)
            try:
                for packet in container.demux(stream):
                    seen.add_packet(packet)
                    for frame in packet.decode():
                        seen.add_frame(frame)
            except (UnreadableVideo, av.error.FFmpegError) as error:
                raise UnreadableVideo(f'after {seen.num_frames} frames: {reason_of(error)}') from error
            _check_whole(container, stream, seen, os.stat(path).st_size, [entry[2] for entry in log])
            return seen.whole()
    except av.error.FFmpegError as error:
        raise UnreadableVideo(reason_of(error)) from error


class _Seen:
    """What the packets and frames of a stream tell, one after the other."""

    def __init__(self, stated_fps: float, container: str, seed: str | int) -> None:
        self.has_pts = container not in _WITHOUT_PTS
        self.draw = Random(seed)
        self.clock = FrameClock(stated_fps)
        self.num_packets = self.num_frames = 0
        self.packet_pts: set[int | None] = set()
        self.key_packets: list[tuple[int | None, int | None]] = []
        self.key_frames: list[int] = []
        self.frame_pts: list[int | None] = []
        self.signatures: dict[int, int] = {}
        self.has_b_frames = False
        self.first: Frame | None = None
        self.former: Frame | None = None
        self.former_is_key = False

    def add_packet(self, packet: Any) -> None:
        if not packet.size:
            return
        self.num_packets += 1
        self.packet_pts.add(packet.pts)
        if packet.is_keyframe:
            self.key_packets.append((packet.pts, packet.dts))

    def add_frame(self, frame: Frame) -> None:
        if frame.is_corrupt:
            raise UnreadableVideo('the decoder marks the frame as corrupt')
        if self.first is None:
            self.first = frame
            ToRGB()(frame)  # raises if its pixels have no RGB
        elif (frame.width, frame.height) != (self.first.width, self.first.height):
            raise UnreadableVideo(
                f'its frames change size, from {self.first.width}x{self.first.height} to {frame.width}x{frame.height}'
            )
        is_key = bool(frame.key_frame)
        if is_key:
            self.key_frames.append(self.num_frames)
        self.has_b_frames = self.has_b_frames or frame.pict_type == _B_PICTURE
        self.frame_pts.append(frame.pts)
        self.clock.add(frame)
        self._sign(frame, is_key)
        self.num_frames += 1

    def _sign(self, frame: Frame, is_key: bool) -> None:
        """Note the signatures of frames at and beside key frames, of the first ones, and of others."""
        number, signed = self.num_frames, self.signatures
        if is_key and self.former is not None and number - 1 not in signed:
            signed[number - 1] = signature_of(self.former)
        if is_key or self.former_is_key or number < _SIGNED_FIRST or self.draw.random() < _SIGNED_SHARE:
            signed[number] = signature_of(frame)
        self.former, self.former_is_key = frame, is_key

    def whole(self) -> WholeVideo:
        assert self.first is not None
        turn = Turn.of(self.first)
        width, height = turn.size(self.first.width, self.first.height)
        return WholeVideo(
            frames=self.num_frames,
            times=self.clock.times(),
            width=width,
            height=height,
            rotation=turn.rotation,
            colour=Colour.of(self.first),
            key_frames=tuple(self.key_frames),
            has_b_frames=self.has_b_frames,
            seeking=self._seeking(),
            signatures=self.signatures,
        )

    def _seeking(self) -> SeekTable | None:
        """Key frames that were both key packets and key frames, SEEK_FRAMES apart; None if they cannot be matched."""
        by_pts = self.has_pts and _are_times(self.frame_pts) and self.packet_pts.issuperset(self.frame_pts)
        if by_pts:
            stamps = {pts: (pts, dts) for pts, dts in self.key_packets}
            starts = [(number, stamps.get(self.frame_pts[number])) for number in self.key_frames]
            starts = [(number, stamp) for number, stamp in starts if stamp is not None]
        elif len(self.key_packets) == len(self.key_frames):
            starts = list(zip(self.key_frames, self.key_packets, strict=True))
        else:
            return None
        kept: list[tuple[int, Any]] = []
        for number, stamp in starts:
            if not kept or number >= kept[-1][0] + SEEK_FRAMES:
                kept.append((number, stamp))
        intra = len(self.key_packets) == len(self.key_frames) == self.num_frames == self.num_packets
        return SeekTable(
            numbers=tuple(number for number, _ in kept),
            stamps=tuple(stamp for _, stamp in kept),
            frame_pts=tuple(self.frame_pts) if by_pts else (),  # type: ignore[arg-type]
            intra=intra,
        )


def _are_times(pts: list[int | None]) -> bool:
    """Whether every frame has a time, later than that of the frame before it."""
    if any(time is None for time in pts):
        return False
    return all(later > earlier for earlier, later in zip(pts, pts[1:], strict=False))  # type: ignore[operator]


def signature_of(frame: Frame) -> int:
    """A checksum of evenly spaced rows of a frame's first plane (luma, or packed colours)."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    is_packed = len(frame.planes) == 1
    width = plane.width * frame.format.padded_bits_per_pixel // 8 if is_packed else plane.width  # bytes of a row
    step = max(1, plane.height * width // _SIGNED_BYTES)
    return zlib.crc32(np.ascontiguousarray(rows[step // 2 :: step, :width]).data)


def _strict_stream(container: InputContainer) -> Any:
    """The best video stream; its decoder raises on damage. The demuxer stays lenient, its log is read instead."""
    stream = container.streams.best('video')
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:  # the cover of a sound file
        kinds = sorted({stream.type for stream in container.streams})
        raise UnreadableVideo(f'no video stream (streams found: {", ".join(kinds) or "none"})')
    if stream.codec_context is None:
        raise UnreadableVideo(NO_DECODER)
    codec: Any = stream.codec_context
    width, height = codec.width, codec.height
    if width * height > MOST_PIXELS:
        raise UnreadableVideo(f'frames of {width}x{height} are too large to decode')
    # `explode` makes decoders raise instead of concealing; threads would delay the error past its frame.
    stream.codec_context.options = {'err_detect': 'explode', 'max_pixels': str(MOST_PIXELS)}
    stream.codec_context.thread_type = 'NONE'
    stream.codec_context.thread_count = 1
    return stream


def _check_whole(container: InputContainer, stream: Any, seen: _Seen, size_bytes: int, log: list[str]) -> None:
    """Raise if the container promises more than the file holds."""
    if seen.num_frames == 0:
        raise UnreadableVideo('the video stream holds no frame')
    for message in log:
        if any(sign in message for sign in _SIGNS_OF_DAMAGE):
            raise UnreadableVideo(f'after {seen.num_frames} frames: {message.strip()}')
    # The table of an mp4 file has what its edit list shows; its header counts all frames. AVI has no such table if it
    # was cut. Headers of sound AVI files are off by one; a truncated file lacks more than that.
    entries = list(stream.index_entries)
    promised = len(entries) if 'mp4' in container.format.name.split(',') else stream.frames
    missing = promised - seen.num_packets
    if missing > 2 and missing > 0.02 * promised:
        raise UnreadableVideo(f'ends early: the header promises {promised} frames, {seen.num_frames} are there')
    end = max((entry.pos + entry.size for entry in entries), default=0)
    if end > size_bytes:
        raise UnreadableVideo(f'ends early: its table points to byte {end}, the file has {size_bytes}')
