"""Opens, reads and writes videos. Nothing else in `sigma`, `eval` or `tools` calls PyAV or decord.

Reading:  `open_video` (one stream, strict by default), `frames_of`, `read_whole` (every frame, any damage raises), and
          the two random-access readers `DecordReader` and `PyAVReader`, by name in `READERS`.
Writing:  `VideoWriter` with the settings `H264` or `Jpeg`.

The one exception is `eval/corruptions/codec.py`: it damages coded packets, so it codes without a file around them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import av
import av.error
import av.logging
import av.stream
import numpy as np

from sigma.errors import DecodeError

if TYPE_CHECKING:
    from av.container import InputContainer

FFmpegError = av.error.FFmpegError  # for code that catches it and has no other business with PyAV
Frame = av.VideoFrame

# FFmpeg opens these although they are not video files: pictures, and playlists that make it open other files.
_NOT_VIDEO_FORMATS = {'image2', 'concat', 'hls', 'dash', 'tty', 'ffmetadata', 'lavfi'}
# Demuxers only log these messages when a file ends early or its structure is broken.
_SIGNS_OF_DAMAGE = ('prematurely', 'partial file', 'exceeds containing', 'EBML number')


# ------------------------------------------------------------------------------------------------- opening a stream


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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1 if lines and lines[0].startswith('[') else 0][:160] if lines else type(error).__name__


# -------------------------------------------------------------------------------------------- reading a whole file


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


def reason_of(error: Exception) -> str:
    """An error's message on one line, without the path."""
    if isinstance(error, av.error.FFmpegError):
        log: Any = error.log  # (level, component, message) or None
        detail = f' ({log[1]}: {log[2].strip()})' if log else ''
        return f'{error.strerror}{detail}'
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return ' '.join(str(error).split()) or type(error).__name__


# --------------------------------------------------------------------------------------------- random-access readers


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


READERS: dict[str, Callable[[str], Reader]] = {'decord': DecordReader, 'pyav': PyAVReader}


# ----------------------------------------------------------------------------------------------------------- writing


# The x264 of PyAV's wheel has AVX-512 code for macroblock trees (rate control by quality or bit rate) that reads memory
# it has not written: equal frames gave 5 streams in 16 calls. This takes the plain C code of that part; the rest is
# equal to the bit on all processors. So the stream does not depend on the processor either: of the same frames, the
# code for AVX made 17,093 bytes, that for SSE2 and plain C 17,205.
X264_REPEATABLE = 'cpu-independent=1'


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
        size: (width, height) in pixels, both even.
        rate: Frames per second.
        coding: `H264` or `Jpeg` settings.

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
        rate: float | Fraction,
        coding: H264 | Jpeg,
    ) -> None:
        options = {'fflags': '+bitexact'} if coding.bitexact else {}
        target = os.fspath(file) if isinstance(file, (str, os.PathLike)) else file
        self._container = av.open(target, 'w', format='mp4', options=options)
        self._rate = exact_rate(rate)
        stream: Any = self._container.add_stream(coding.encoder, rate=self._rate)
        stream.width, stream.height = size
        stream.pix_fmt = coding.pixel_format
        stream.codec_context.thread_count = 1
        coding._configure(stream.codec_context)
        self._stream = stream
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
        """Append a frame: (H, W, 3) uint8 RGB of the video's size, or a decoded frame, which is resized to it.

        Frames keep their number instead of their time: frame n is shown at n / rate.
        """
        if isinstance(frame, np.ndarray):
            frame = av.VideoFrame.from_ndarray(frame, format='rgb24')
        else:
            stream = self._stream
            frame = frame.reformat(stream.width, stream.height, stream.pix_fmt, interpolation='AREA')
            frame.pict_type = 0  # otherwise the source's key frames would become ours
        frame.pts, frame.time_base = self.num_sent, 1 / self._rate
        self.num_sent += 1
        self._encode(frame)

    def _encode(self, frame: Frame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
            self.num_written += 1


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
