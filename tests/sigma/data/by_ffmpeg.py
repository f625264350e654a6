"""The frames that the system's ffmpeg shows: a second opinion on what a file holds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

HAS_FFMPEG = shutil.which('ffmpeg') is not None
_SHOW = ('ffmpeg', '-v', 'error', '-nostdin', '-threads', '1')
_MOST_BYTES = 300 * 2**20


def shown_frames(file: Path, width: int, height: int, num_frames: int, turns: bool = True) -> np.ndarray | int:
    """(n, H, W, 3) uint8, each frame once; their number alone if they would take more than 300 MiB.

    Args:
        file: The video.
        width, height: Pixels of a frame, as they should be.
        num_frames: How many there should be.
        turns: Whether ffmpeg turns frames upright. Those of PyAV and the system differ in how they treat mirrors.

    Raises:
        AssertionError: if the frames of ffmpeg have another size.
    """
    show = [*_SHOW, *(() if turns else ('-noautorotate',)), '-i', str(file)]
    once = ('-an', '-sn', '-dn', '-vsync', 'passthrough')
    if 3 * width * height * num_frames > _MOST_BYTES:
        done = _run([*show, *once, '-f', 'framecrc', '-'])
        return sum(not line.startswith(b'#') for line in done.splitlines())
    done = _run([*show, *once, '-pix_fmt', 'rgb24', '-f', 'rawvideo', '-'])
    assert len(done) % (3 * width * height) == 0, f'{file.name}: ffmpeg shows frames that are not {width}x{height}'
    return np.frombuffer(done, np.uint8).reshape(-1, height, width, 3)


def _run(command: list[str]) -> bytes:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120, check=False).stdout
