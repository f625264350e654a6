"""What coding and transmission do: real encoding and decoding with PyAV (FFmpeg), never an imitation.

Give these the whole video in source order. They code at 25 frames a second, one thread (so that bytes repeat), 4:2:0;
odd sides are padded by a pixel and cut again (for H.265, sides below 64 to 64). Compare with `reencode`, the same path
undamaged: going through H.264 at all costs something. A frame that the decoder does not give is the last one it gave;
before the first one, the first; where it gives none at all, black. A picture whose first frame is hit stays gray until
the next key frame, which FFmpeg's defaults put 250 frames on: that is what players show, and why single errors can
cost a whole clip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from eval.corruptions.corruption import Draws, check_frames, register
from eval.corruptions.weather import KINETICS_C

CODING_FPS = 25
DEFAULT_CRF = 23  # what FFmpeg takes when told nothing
NETWORK_PACKET_BYTES = 1400


@dataclass
class Stream:
    """A coded video: its parameter sets, and a packet with its frame's number for each coded frame."""

    codec: str
    extradata: bytes
    packets: list[tuple[int, bytes]]


@lru_cache(maxsize=8)
def missing_encoder(encoder: str) -> str | None:
    """Why an encoder cannot be had here; None where it can."""
    try:
        import av
    except ImportError:
        return 'PyAV is not installed; pip install av'
    try:
        av.Codec(encoder, 'w')
    except av.codec.codec.UnknownCodecError:
        return f'this build of FFmpeg has no encoder {encoder}'
    return None


def missing_x264() -> str | None:
    return missing_encoder('libx264')


def missing_x265() -> str | None:
    return missing_encoder('libx265')


def encode(frames: np.ndarray, encoder: str = 'libx264', **options: str) -> Stream:
    """Codes frames with FFmpeg's defaults and the given options of the encoder."""
    import av

    # x265 writes past its memory where a picture is narrower than its blocks of 64 pixels (seen with 48).
    least = 64 if encoder == 'libx265' else 0
    more = [(0, max(side % 2, least - side)) for side in frames.shape[1:3]]
    frames = np.pad(frames, ((0, 0), *more, (0, 0)), mode='edge')
    context = av.CodecContext.create(encoder, 'w')
    context.height, context.width = frames.shape[1:3]
    context.pix_fmt = 'yuv420p'
    context.framerate, context.time_base = Fraction(CODING_FPS), Fraction(1, CODING_FPS)
    context.thread_count = 1
    # Parameter sets go beside the stream, as in a file or a session description: what hits packets does not hit them.
    context.flags |= av.codec.context.Flags.global_header
    if encoder == 'libx265':
        options['x265-params'] = 'log-level=error:pools=none:frame-threads=1'
    context.options = options
    packets = []
    for t, frame in enumerate([*frames, None]):
        if frame is not None:
            frame = av.VideoFrame.from_ndarray(frame, format='rgb24')
            frame.pts, frame.time_base = t, context.time_base
        packets += [(packet.pts, bytes(packet)) for packet in context.encode(frame)]
    codec = {'libx264': 'h264', 'libx265': 'hevc'}[encoder]
    return Stream(codec, context.extradata or b'', packets)


def decode(stream: Stream, shape: tuple[int, ...]) -> np.ndarray:
    """Frames of a stream that may be damaged, as a player shows them: errors concealed, see the head of this file.

    Args:
        stream: Packets may be missing or broken.
        shape: (T, H, W, 3) of what was coded.
    """
    import av
    from av.video.reformatter import VideoReformatter

    context = av.CodecContext.create(stream.codec, 'r')
    context.extradata = stream.extradata
    context.thread_count = 1
    context.options = {'flags': '+output_corrupt', 'flags2': '+showall', 'ec': 'guess_mvs+deblock'}
    num_frames, height, width = shape[:3]
    out, given = np.zeros(shape, np.uint8), np.zeros(num_frames, bool)
    converter = VideoReformatter()  # one for all: `to_ndarray` prepares one for each frame
    for pts, data in [*stream.packets, (None, None)]:
        packet = None
        if data is not None:
            packet = av.Packet(data)
            packet.pts, packet.time_base = pts, Fraction(1, CODING_FPS)
        try:
            decoded = context.decode(packet)
        except av.FFmpegError:
            continue  # this packet gives no frame
        for frame in decoded:
            inside = frame.pts is not None and 0 <= frame.pts < num_frames
            # Damage may reach the size of a picture; then it is no frame of this video.
            if inside and frame.height >= height and frame.width >= width:
                out[frame.pts] = converter.reformat(frame, format='rgb24').to_ndarray()[:height, :width]
                given[frame.pts] = True
    shown = np.maximum.accumulate(np.where(given, np.arange(num_frames), -1))
    shown[shown < 0] = given.argmax()  # before the first; frame 0, black, where there is none
    return out[shown]


def reencode(frames: np.ndarray) -> np.ndarray:
    """The clean baseline of codec corruptions: H.264 at CRF 23, undamaged.

    Raises:
        ValueError: on frames that no corruption takes.
        RuntimeError: if there is no encoder; says why.
    """
    check_frames(frames)
    frames = np.ascontiguousarray(frames)
    if (reason := missing_x264()) is not None:
        raise RuntimeError(f'frames cannot be re-encoded: {reason}')
    return decode(encode(frames, crf=str(DEFAULT_CRF)), frames.shape)


@register(
    'codec',
    (23, 30, 37, 44, 51),
    KINETICS_C,
    shared=None,
    suites=('kinetics-c', 'ssv2-c'),
    acts_on='video',
    needs=missing_x264,
)
def h264_crf(frames: np.ndarray, crf: int, draws: Draws) -> np.ndarray:
    """H.264 at that constant rate factor."""
    return decode(encode(frames, crf=str(crf)), frames.shape)


@register(
    'codec',
    (27, 33, 39, 45, 51),
    KINETICS_C,
    shared=None,
    suites=('kinetics-c', 'ssv2-c'),
    acts_on='video',
    needs=missing_x265,
)
def h265_crf(frames: np.ndarray, crf: int, draws: Draws) -> np.ndarray:
    """H.265 at that constant rate factor."""
    return decode(encode(frames, 'libx265', crf=str(crf)), frames.shape)


@register(
    'codec',
    (2, 4, 8, 16, 32),
    KINETICS_C + '; the rate divided is that of our H.264 at CRF 23, as decoded frames have no file',
    shared=None,
    acts_on='video',
    needs=missing_x264,
)
def h264_bitrate(frames: np.ndarray, divisor: int, draws: Draws) -> np.ndarray:
    """H.264 at an average bit rate that is the original one divided."""
    num_bytes = sum(len(data) for _, data in encode(frames, crf=str(DEFAULT_CRF)).packets)
    rate = str(max(1000, int(8 * num_bytes * CODING_FPS / len(frames) / divisor)))
    return decode(encode(frames, b=rate, maxrate=rate, bufsize=rate), frames.shape)


@register(
    'codec',
    (100_000, 50_000, 30_000, 20_000, 10_000),
    KINETICS_C + '; on our H.264 stream at CRF 23 instead of the original file',
    shared=False,
    suites=('kinetics-c', 'ssv2-c'),
    acts_on='video',
    needs=missing_x264,
)
def bit_error(frames: np.ndarray, bytes_an_error: int, draws: Draws) -> np.ndarray:
    """Replaces one byte in so many of the coded stream, on average.

    FFmpeg's `noise` filter, which the published code uses, chooses the bytes by its own running sum; here each byte is
    hit with the same probability from the key. A short clip of few bytes may get no error at all.
    """
    stream = encode(frames, crf=str(DEFAULT_CRF))
    stream.packets = [(pts, _with_errors(data, bytes_an_error, draws.frame(pts))) for pts, data in stream.packets]
    return decode(stream, frames.shape)


def _with_errors(data: bytes, bytes_an_error: int, rng: np.random.Generator) -> bytes:
    values = np.frombuffer(data, np.uint8).copy()
    hit = rng.random(len(values)) < 1 / bytes_an_error
    values[hit] = rng.integers(0, 256, int(hit.sum()))
    return values.tobytes()


@register(
    'codec',
    (1, 2, 3, 4, 6),
    'Mini Kinetics-C, percent of packets; what a packet is, is our choice: a slice of at most 1400 bytes',
    shared=False,
    suites=('kinetics-c', 'ssv2-c'),
    acts_on='video',
    needs=missing_x264,
)
def packet_loss(frames: np.ndarray, percent: float, draws: Draws) -> np.ndarray:
    """Loses that share of network packets of an H.264 stream, of which each holds a slice.

    A short clip of few packets may lose none.
    """
    stream = encode(frames, crf=str(DEFAULT_CRF), **{'slice-max-size': str(NETWORK_PACKET_BYTES)})
    kept = ((pts, _without_slices(data, percent / 100, draws.frame(pts))) for pts, data in stream.packets)
    stream.packets = [(pts, data) for pts, data in kept if data]
    return decode(stream, frames.shape)


def slices_of(data: bytes) -> list[bytes]:
    """NAL units of an H.264 packet, start codes included."""
    starts = [match.start() for match in re.finditer(b'\x00?\x00\x00\x01', data)]
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)])]


def _without_slices(data: bytes, share: float, rng: np.random.Generator) -> bytes:
    units = slices_of(data)
    lost = rng.random(len(units)) < share
    is_slice = [unit.lstrip(b'\x00')[1] & 31 in (1, 5) for unit in units]  # after 01: the type in five bits
    kept = [unit for unit, gone, picture in zip(units, lost, is_slice) if not (gone and picture)]
    # What remains without any slice (a note of the encoder) shows nothing.
    return b''.join(kept) if any(p and not gone for p, gone in zip(is_slice, lost)) else b''
