"""Video files as bad as they come: small files of every kind that PyAV writes, and seeded ways to spoil them.

`sources` writes the good files; `made_up(number, files)` gives the bytes of one spoiled file, the same for the same
number and files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from random import Random

import av

from tests.sigma.video_files import picture

# Name -> arguments of `_written`.
_MADE: dict[str, dict] = {
    'bframes.mp4': {'encoder': 'libx264', 'b_frames': 2},
    'turned.mp4': {'encoder': 'libx264', 'rotation': 90},
    'uneven.mp4': {'encoder': 'libx264', 'milliseconds': (0, 40, 90, 200, 210, 450, 500, 610, 640, 900)},
    'fragments.mp4': {'encoder': 'libx264', 'container': {'movflags': 'frag_keyframe+empty_moov'}},
    'mpeg4.mp4': {'encoder': 'mpeg4', 'b_frames': 1},
    'hevc.mp4': {'encoder': 'libx265', 'options': {'x265-params': 'log-level=none:pools=1'}},
    'jpeg.mov': {'encoder': 'mjpeg', 'pixel_format': 'yuvj420p'},
    'png.mov': {'encoder': 'png', 'pixel_format': 'rgb24'},
    'prores.mov': {'encoder': 'prores_ks', 'pixel_format': 'yuv422p10le'},
    'h263.3gp': {'encoder': 'h263', 'size': (128, 96), 'rate': Fraction(30000, 1001)},
    'h264.mkv': {'encoder': 'libx264', 'b_frames': 2},
    'ffv1.mkv': {'encoder': 'ffv1'},
    'uneven.mkv': {'encoder': 'libx264', 'milliseconds': (0, 40, 90, 200, 210, 450, 500, 610, 640, 900)},
    'vp8.webm': {'encoder': 'libvpx', 'options': {'deadline': 'realtime', 'cpu-used': '8'}},
    'vp9.webm': {'encoder': 'libvpx-vp9', 'options': {'deadline': 'realtime', 'cpu-used': '8'}},
    'mpeg4.avi': {'encoder': 'mpeg4', 'b_frames': 2},
    'h264.avi': {'encoder': 'libx264'},
    'jpeg.avi': {'encoder': 'mjpeg', 'pixel_format': 'yuvj420p'},
    'huffyuv.avi': {'encoder': 'huffyuv', 'pixel_format': 'yuv422p'},
    'raw.avi': {'encoder': 'rawvideo', 'size': (32, 24)},
    'bframes.ts': {'encoder': 'libx264', 'b_frames': 2},
    'mpeg2.ts': {'encoder': 'mpeg2video', 'b_frames': 2},
    'mpeg1.mpg': {'encoder': 'mpeg1video', 'b_frames': 2},
    'mpeg2.vob': {'encoder': 'mpeg2video'},
    'gif.gif': {'encoder': 'gif', 'pixel_format': 'rgb8'},
    'msmpeg4.avi': {'encoder': 'msmpeg4'},
    'sorenson.flv': {'encoder': 'flv'},
    'h264.flv': {'encoder': 'libx264'},
    'wmv2.wmv': {'encoder': 'wmv2'},
    'mpeg2.mxf': {'encoder': 'mpeg2video'},
    'h264.h264': {'encoder': 'libx264', 'b_frames': 1},
    'hevc.hevc': {'encoder': 'libx265', 'options': {'x265-params': 'log-level=none:pools=1'}},
    'mpeg2.m2v': {'encoder': 'mpeg2video'},
}


def sources(folder: Path, shared: tuple[Path, ...] = (), largest: int = 120_000) -> dict[str, bytes]:
    """Name -> bytes of good files: those that this PyAV can write, and small ones of the `shared` folders."""
    files = {}
    for name, how in _MADE.items():
        if how['encoder'] in av.codecs_available:
            files[name] = _written(folder / name, **how).read_bytes()
    for place in shared:
        for file in sorted(place.glob('*')) if place.is_dir() else ():
            if file.suffix not in ('.py', '.pth', '.md') and file.stat().st_size <= largest:
                files[file.name] = file.read_bytes()
    return files


def _written(
    path: Path,
    encoder: str,
    pixel_format: str = 'yuv420p',
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    b_frames: int = 0,
    rotation: int = 0,
    milliseconds: tuple[int, ...] | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
) -> Path:
    with av.open(path, 'w', options=dict(container or {})) as file:
        stream = file.add_stream(encoder, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        codec = stream.codec_context
        codec.gop_size, codec.max_b_frames, codec.options, codec.thread_count = 6, b_frames, dict(options or {}), 1
        if milliseconds is not None:
            codec.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(len(milliseconds) if milliseconds else 14):
            frame = av.VideoFrame.from_ndarray(picture(3 * number, *size), format='rgb24').reformat(format=pixel_format)
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


# --------------------------------------------------------------------------------------------------- how to spoil them

_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
# Where the fields are that a header can lie with: after the name of an atom, a chunk or an element.
_MARKS = {
    'times': (b'stts', b'ctts', b'mdhd', b'mvhd', b'tfdt', b'trun', b'\x2a\xd7\xb1', b'\x23\xe3\x83', b'\x44\x89',
              b'strh', b'avih', b'\x21\xf9\x04'),
    'index': (b'stsz', b'stsc', b'stco', b'stss', b'sidx', b'tfra', b'idx1', b'movi', b'\xbb\x8f', b'\x1c\x53\xbb\x6b',
              b'\xa3'),
    'sizes': (b'tkhd', b'avc1', b'hvc1', b'mp4v', b'jpeg', b'png ', b'apch', b's263', b'strf', b'\xb0\x82', b'\xba\x81',
              b'\x00\x00\x01\xb3', b'GIF89a', b'IHDR', b'theora', b'\x9d\x01\x2a'),
    'edits': (b'elst',),
}  # fmt: skip


def _field(data: bytes, draw: Random, kind: str) -> int | None:
    """Where a field of this kind may begin; None if the file has none."""
    found = [(mark, place) for mark in _MARKS[kind] for place in _places(data, mark)]
    if not found:
        return None
    mark, place = draw.choice(found)
    return place + len(mark) + draw.randrange(0, 40)


def _places(data: bytes, mark: bytes, most: int = 8) -> list[int]:
    places, place = [], data.find(mark)
    while place >= 0 and len(places) < most:
        places.append(place)
        place = data.find(mark, place + 1)
    return places


def _lie(kind: str) -> Callable[[bytes, Random, Mapping[str, bytes]], bytes]:
    def lie(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
        place = _field(data, draw, kind)
        if place is None or place + 4 > len(data):
            return data
        width = draw.choice((1, 2, 4))
        former = int.from_bytes(data[place : place + width], 'big')
        value = draw.choice((*_NUMBERS, former + 1, former - 1, -former, draw.getrandbits(32))) % 256**width
        return data[:place] + value.to_bytes(width, draw.choice(('big', 'little'))) + data[place + width :]

    return lie


def _swapped_bytes(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    place = _field(data, draw, 'index')
    return data if place is None else data[:place] + data[place : place + 4][::-1] + data[place + 4 :]


def _edit_list(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """Another first entry: duration, media time (which may be negative) and rate."""
    place = data.find(b'elst')
    if place < 0:
        return data
    entry = struct.pack(
        '>IiI', draw.choice((0, 1, 100, 400, 10**6, 2**32 - 1)), draw.choice((-1, -512, 0, 512, 1024, 5120, 2**31 - 1)),
        draw.choice((0x10000, 0, 0x8000, 0xFFFF0000)),
    )  # fmt: skip
    return data[: place + 12] + entry + data[place + 24 :]


def _matrix(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """Another display matrix: turns, mirrors, angles between, zeros and noise."""
    place = data.find(b'tkhd')
    one = 0x10000
    rows = draw.choice(
        ((0, one, -one, 0), (-one, 0, 0, -one), (0, -one, one, 0), (-one, 0, 0, one), (0, one, one, 0), (0, 0, 0, 0),
         (46341, 46341, -46341, 46341), tuple(draw.getrandbits(32) - 2**31 for _ in range(4)))
    )  # fmt: skip
    matrix = struct.pack('>9i', rows[0], rows[1], 0, rows[2], rows[3], 0, 0, 0, 1 << 30)
    return data if place < 0 else data[: place + 44] + matrix + data[place + 80 :]


def _huge(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """Huge pictures, where the format says it in a place that is easily found; else a small file that says so."""
    width, height = draw.choice(
        ((65535, 65535), (32767, 32767), (16384, 16384), (20000, 9000), (1, 65535), (9000, 9000))
    )
    if data[:4] == b'GIF8':
        return data[:6] + struct.pack('<HH', width, height) + data[10:]
    if (place := data.find(b'IHDR')) >= 0:
        header = b'IHDR' + struct.pack('>II', width, height) + data[place + 12 : place + 17]
        return data[:place] + header + struct.pack('>I', zlib.crc32(header)) + data[place + 21 :]
    for name in (b'avc1', b'hvc1', b'mp4v', b'jpeg', b'apch', b's263'):
        if (place := data.find(name, data.find(b'stsd') + 8)) >= 0 and b'stsd' in data:
            return data[: place + 28] + struct.pack('>HH', width, height) + data[place + 32 :]
    if (place := data.find(b'strf')) >= 0:
        return data[: place + 12] + struct.pack('<II', width, height) + data[place + 20 :]
    if (place := data.find(b'\x9d\x01\x2a')) >= 0:  # VP8's key frame
        return data[: place + 3] + struct.pack('<HH', width & 0x3FFF, height & 0x3FFF) + data[place + 7 :]
    if (place := data.find(b'\x00\x00\x01\xb3')) >= 0:  # MPEG-1 and 2
        sides = ((width & 0xFFF) << 12 | (height & 0xFFF)).to_bytes(3, 'big')
        return data[: place + 4] + sides + data[place + 7 :]
    return _gif(width, height, draw)


def _gif(width: int, height: int, draw: Random) -> bytes:
    """A picture of one grey pixel on a canvas of any size, a few times."""
    head = b'GIF89a' + struct.pack('<HH', width, height) + b'\x80\x00\x00' + b'\x80\x80\x80\x00\x00\x00'
    pause = draw.choice((0, 1, 10, 65535))
    one = b'\x21\xf9\x04\x00' + struct.pack('<H', pause) + b'\x00\x00\x2c' + struct.pack('<HHHH', 0, 0, 1, 1)
    return head + (one + b'\x00\x02\x02\x44\x01\x00') * 3 + b'\x3b'


def _truncated(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    return data[: draw.randrange(len(data))] if draw.random() < 0.6 else data[: -draw.randrange(1, 200)]


def _beheaded(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    return data[draw.randrange(len(data)) :]


def _flipped(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    spoiled = bytearray(data)
    for _ in range(draw.choice((1, 2, 8, 64))):
        spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
    return bytes(spoiled)


def _hole(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """A stretch that is zero, random, missing, or there twice."""
    start = draw.randrange(len(data))
    end = min(len(data), start + draw.choice((1, 7, 188, 512, 4096)))
    filled = draw.choice((bytes(end - start), draw.randbytes(end - start), b'', 2 * data[start:end]))
    return data[:start] + filled + data[end:]


def _spliced(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """The first part of one file and the last of another, mostly of the same kind; or two whole ones."""
    other = files[draw.choice(sorted(files))]
    if draw.random() < 0.3:
        return data + other
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def _atom(name: bytes, payload: bytes) -> bytes:
    return struct.pack('>I', 8 + len(payload)) + name + payload


def _nested(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """A file inside another's container, or a container inside itself many times."""
    kind = draw.randrange(4)
    if kind == 0:
        return _atom(b'ftyp', b'isom\x00\x00\x02\x00isom') + _atom(b'mdat', data)
    if kind == 1:
        inner = b''
        for _ in range(draw.choice((10, 1000, 5000))):
            inner = _atom(draw.choice((b'moov', b'trak', b'udta', b'meta')), inner)
        return _atom(b'ftyp', b'isom\x00\x00\x02\x00isom') + inner + data
    if kind == 2:
        return b'RIFF' + struct.pack('<I', len(data) + 4) + b'AVI LIST' + struct.pack('<I', len(data)) + data
    return _atom(b'free', files[draw.choice(sorted(files))]) + data


def _poser(data: bytes, draw: Random, files: Mapping[str, bytes]) -> bytes:
    """No video at all: text, a playlist that points elsewhere, a picture, an archive, noise."""
    other = draw.choice(('mpeg4.avi', 'h264.ts', '/etc/passwd', 'http://127.0.0.1:9/x.mp4'))
    return draw.choice(
        (f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n'.encode(),
         f"ffconcat version 1.0\nfile '{other}'\n".encode(), b';FFMETADATA1\ntitle=x\n',
         b'v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n',
         b'P6\n8 8\n255\n' + bytes(192), b'PK\x03\x04' + data[:500], b'\x1f\x8b\x08' + data[:500], b'\xff\xd8\xff\xe0' +
         data[:500], draw.randbytes(3000), b'\x00', b'<html><body>404</body></html>', b'',
         b'YUV4MPEG2 W9 H9 F0:0\nFRAME\n')
    )  # fmt: skip


_WAYS = {
    'whole': lambda data, draw, files: data,
    'truncated': _truncated,
    'beheaded': _beheaded,
    'flipped': _flipped,
    'hole': _hole,
    'spliced': _spliced,
    'times': _lie('times'),
    'index': _lie('index'),
    'sizes': _lie('sizes'),
    'edits': _lie('edits'),
    'swapped': _swapped_bytes,
    'edit_list': _edit_list,
    'matrix': _matrix,
    'huge': _huge,
    'nested': _nested,
    'poser': _poser,
}
_TWICE = ('flipped', 'hole', 'times', 'index', 'sizes', 'swapped', 'edit_list', 'matrix')


def made_up(number: int, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """(name, bytes) of one made-up file; the name tells its number, how it was spoiled, and what it was.

    Numbers go through the ways to spoil and the sources in turn, so any stretch of them holds all kinds.
    """
    draw = Random(f'made up {number}')
    way = list(_WAYS)[number % len(_WAYS)]
    names = sorted(files)
    if way in ('edits', 'edit_list', 'matrix'):
        names = [name for name in names if name.endswith(('.mp4', '.mov', '.3gp'))]
    name = names[draw.randrange(len(names))]
    data = _WAYS[way](files[name], draw, files)
    if way in _TWICE:
        for _ in range(draw.randrange(3)):
            data = _WAYS[way](data, draw, files) if data else data
    return f'{number:04d}_{way}_{name}', data
