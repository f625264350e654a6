"""Tiny videos, and tables of videos, for tests of preparing."""

import csv
from pathlib import Path

import av
import numpy as np


def tiny_clip(path: Path) -> bytes:
    """Write a clip of four frames; return its bytes."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        for gray in range(4):
            frame = np.full((64, 64, 3), 40 * gray, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    return path.read_bytes()


def with_tail(clip: bytes, name: str | bytes) -> bytes:
    """The clip with other bytes at its end, by the last eight of a name; it decodes as before."""
    name = name if isinstance(name, bytes) else name.encode('utf-8', 'surrogateescape')
    return clip + b'\0\0\0\x10free' + name[-8:].rjust(8)


def table(path: Path, rows: list[dict]) -> Path:
    """Write rows as CSV with a header."""
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path
