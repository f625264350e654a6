"""Damage by coding and transmission. Frames are really encoded and decoded, with PyAV (FFmpeg).

These corruptions need the whole video in source order. They encode at 25 frames per second, in one thread so that bytes
repeat, as 4:2:0. Odd sides are padded by one pixel and cut again; for H.265, sides below 66 are padded to 66. The
undamaged baseline is `reencode`, as H.264 alone changes pixels.

Equal frames give one stream: in every process, at any load, and on every processor with SSE 4.2 or more. Two settings
make it so, beside the single thread: `sigma.video.X264_REPEATABLE`, and `X265_LEAST_SIDE` here. Without them the
encoders of PyAV's wheel read memory that they have not written, and the stream depends on what a process did before.
`tests/eval/corruptions/test_codec_repeats.py` fills new memory with other bytes in every process, which shows it.

A frame that the decoder does not return is replaced by the last one before it, at the start by the first one, and by
black if there is none. If the first frame is hit, the picture stays gray until the next key frame, which FFmpeg puts
after 250 frames by default. That is what players show, and why a single error can cost a whole clip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from eval.corruptions.corruption import Draws, check_frames, register
from eval.corruptions.weather import KINETICS_C

CODING_FPS = 25
DEFAULT_CRF = 23  # FFmpeg's default
NETWORK_PACKET_BYTES = 1400
VERSION = 2  # of all of them; 2026-11-30: one stream for one key, at other rates
# x265 codes blocks of 64x64. In a picture of one column or one row of them it reads memory that it has not written, and
# in a narrower one (seen with 48 pixels) writes past its own. 66 is the least even side with two blocks.
X265_LEAST_SIDE = 66
# No pool and one frame at a time, so that no thread decides; no note of the encoder, since it names the processor.
X265_REPEATABLE = 'log-level=error:pools=none:frame-threads=1:info=0'


@dataclass
class Stream:
    """An encoded video: codec, parameter sets, and (frame number, packet) for each coded frame."""

    codec: str
    extradata: bytes
    packets: list[tuple[int, bytes]]


@lru_cache(maxsize=8)
def missing_encoder(encoder: str) -> str | None:
    """Reason why this encoder is not available here, or None."""
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
    """Encode (T, H, W, 3) uint8 frames with FFmpeg's defaults and the given options."""
    import av

    from sigma.video import X264_REPEATABLE

    least = X265_LEAST_SIDE if encoder == 'libx265' else 0
    more = [(0, max(side % 2, least - side)) for side in frames.shape[1:3]]
    frames = np.pad(frames, ((0, 0), *more, (0, 0)), mode='edge')
    context: Any = av.CodecContext.create(encoder, 'w')  # typed as codec of any medium
    context.height, context.width = frames.shape[1:3]
    context.pix_fmt = 'yuv420p'
    context.framerate, context.time_base = Fraction(CODING_FPS), Fraction(1, CODING_FPS)
    context.thread_count = 1
    # Keep parameter sets outside the stream, as in a file, so that damage to packets does not hit them.
    context.flags |= av.codec.context.Flags.global_header
    repeatable = {'libx264': {'x264-params': X264_REPEATABLE}, 'libx265': {'x265-params': X265_REPEATABLE}}
    context.options = options | repeatable[encoder]
    packets = []
    for t, frame in enumerate([*frames, None]):
        if frame is not None:
            frame = av.VideoFrame.from_ndarray(frame, format='rgb24')
            frame.pts, frame.time_base = t, context.time_base
        packets += [(packet.pts, bytes(packet)) for packet in context.encode(frame)]
    codec = {'libx264': 'h264', 'libx265': 'hevc'}[encoder]
    return Stream(codec, context.extradata or b'', packets)


def decode(stream: Stream, shape: tuple[int, ...]) -> np.ndarray:
    """Decode a damaged stream as a player would, with errors concealed as described at the top of this file.

    Args:
        stream: Packets may be missing or broken.
        shape: (T, H, W, 3) of the frames that were encoded.

    Returns:
        (T, H, W, 3) uint8.
    """
    import av
    from av.video.reformatter import VideoReformatter

    context: Any = av.CodecContext.create(stream.codec, 'r')
    context.extradata = stream.extradata
    context.thread_count = 1
    context.options = {'flags': '+output_corrupt', 'flags2': '+showall', 'ec': 'guess_mvs+deblock'}
    num_frames, height, width = shape[:3]
    out, given = np.zeros(shape, np.uint8), np.zeros(num_frames, bool)
    converter = VideoReformatter()  # one for all frames; `to_ndarray` would make one per frame
    for pts, data in [*stream.packets, (None, None)]:
        packet = None
        if data is not None:
            packet = av.Packet(data)
            packet.pts, packet.time_base = pts, Fraction(1, CODING_FPS)
        try:
            decoded = context.decode(packet)
        except av.FFmpegError:
            continue  # no frame in this packet
        for frame in decoded:
            inside = frame.pts is not None and 0 <= frame.pts < num_frames
            # Damage can change the size of a picture. Then it is no frame of this video.
            if inside and frame.height >= height and frame.width >= width:
                out[frame.pts] = converter.reformat(frame, format='rgb24').to_ndarray()[:height, :width]
                given[frame.pts] = True
    shown = np.maximum.accumulate(np.where(given, np.arange(num_frames), -1))
    shown[shown < 0] = given.argmax()  # before the first one; frame 0, which is black, if there is none
    return out[shown]


def reencode(frames: np.ndarray) -> np.ndarray:
    """The clean baseline of codec corruptions: H.264 at CRF 23, without damage.

    Args:
        frames: (T, H, W, 3) uint8 RGB.

    Raises:
        DataError: on frames of another form.
        RuntimeError: if there is no encoder, with the reason.
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
    version=VERSION,
)
def h264_crf(frames: np.ndarray, crf: int, draws: Draws) -> np.ndarray:
    """H.264 compression; level: constant rate factor (CRF)."""
    return decode(encode(frames, crf=str(crf)), frames.shape)


@register(
    'codec',
    (27, 33, 39, 45, 51),
    KINETICS_C,
    shared=None,
    suites=('kinetics-c', 'ssv2-c'),
    acts_on='video',
    needs=missing_x265,
    version=VERSION,
)
def h265_crf(frames: np.ndarray, crf: int, draws: Draws) -> np.ndarray:
    """H.265 compression; level: constant rate factor (CRF)."""
    return decode(encode(frames, 'libx265', crf=str(crf)), frames.shape)


@register(
    'codec',
    (2, 4, 8, 16, 32),
    KINETICS_C + '; the rate that is divided is that of our H.264 at CRF 23, as decoded frames have no file',
    shared=None,
    acts_on='video',
    needs=missing_x264,
    version=VERSION,
)
def h264_bitrate(frames: np.ndarray, divisor: int, draws: Draws) -> np.ndarray:
    """H.264 at a fraction of the bit rate; level: divisor of the bit rate at CRF 23."""
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
    version=VERSION,
)
def bit_error(frames: np.ndarray, bytes_an_error: int, draws: Draws) -> np.ndarray:
    """Replaces random bytes of an H.264 stream; level: mean number of bytes per error.

    The published code uses FFmpeg's `noise` filter, which picks bytes by a running sum. Here each byte is hit with the
    same probability. A short clip of few bytes may get no error.
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
    'Mini Kinetics-C, percent of packets; our choice of packet: a slice of at most 1400 bytes',
    shared=False,
    suites=('kinetics-c', 'ssv2-c'),
    acts_on='video',
    needs=missing_x264,
    version=VERSION,
)
def packet_loss(frames: np.ndarray, percent: float, draws: Draws) -> np.ndarray:
    """Loses random network packets of an H.264 stream; level: percent of packets.

    Each packet holds one slice. A short clip of few packets may lose none.
    """
    stream = encode(frames, crf=str(DEFAULT_CRF), **{'slice-max-size': str(NETWORK_PACKET_BYTES)})
    kept = ((pts, _without_slices(data, percent / 100, draws.frame(pts))) for pts, data in stream.packets)
    stream.packets = [(pts, data) for pts, data in kept if data]
    return decode(stream, frames.shape)


def slices_of(data: bytes) -> list[bytes]:
    """NAL units of an H.264 packet, with their start codes."""
    starts = [match.start() for match in re.finditer(b'\x00?\x00\x00\x01', data)]
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)])]


def _without_slices(data: bytes, share: float, rng: np.random.Generator) -> bytes:
    units = slices_of(data)
    lost = rng.random(len(units)) < share
    # The type is in the low five bits of the byte after 00 00 01.
    is_slice = [unit.lstrip(b'\x00')[1] & 31 in (1, 5) for unit in units]
    kept = [unit for unit, gone, picture in zip(units, lost, is_slice) if not (gone and picture)]
    # A packet without any slice (only a note of the encoder) shows nothing.
    return b''.join(kept) if any(p and not gone for p, gone in zip(is_slice, lost)) else b''
