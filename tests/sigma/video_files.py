"""Videos for tests: the recorded cases, and files that a test writes with PyAV."""

import importlib.util
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / '../shared'
MEDIA = SHARED / 'cases/media'


def media(name: str) -> Path:
    """A recorded case; skips the test without it."""
    return _present(MEDIA / name)


def real(name: str) -> Path:
    """A file of `data/real/codecs`; skips the test without it."""
    return _present(SHARED / 'data/real/codecs' / name)


def _present(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f'needs {path.name} of the shared files')
    return path


def numbered():
    """The module that draws and reads the numbers in the recorded cases; skips the test without it."""
    spec = importlib.util.spec_from_file_location('numbered', media('numbered.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """(H, W, 3): top left red, top right green, bottom left blue, bottom right grey that tells the number."""
    image = np.full((height, width, 3), 40 + 5 * (number % 40), np.uint8)
    image[: height // 2, : width // 2] = (230, 20, 20)
    image[: height // 2, width // 2 :] = (20, 200, 20)
    image[height // 2 :, : width // 2] = (20, 20, 230)
    return image


def written(
    path: Path,
    *,
    num_frames: int = 20,
    rate: Fraction | int = 25,
    milliseconds: Sequence[int] | None = None,
    encoder: str = 'libx264',
    pixel_format: str = 'yuv420p',
    b_frames: int = 0,
    rotation: int = 0,
    matrix: int = 2,
    full_range: bool = False,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """A video of `picture`s; `milliseconds` gives each frame a time. Rotation: degrees counterclockwise, as decoded."""
    if milliseconds is not None:
        num_frames = len(milliseconds)
    with av.open(path, 'w') as container:
        stream = container.add_stream(encoder, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        codec = stream.codec_context
        codec.max_b_frames = b_frames
        codec.options = {'qp': '4'} if encoder == 'libx264' else {}
        if milliseconds is not None:
            codec.time_base = Fraction(1, 1000)
        if matrix != 2:
            codec.colorspace, codec.color_primaries, codec.color_trc = matrix, matrix, matrix
        if matrix != 2 or full_range:
            codec.color_range = 2 if full_range else 1
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format='rgb24').reformat(
                format=pixel_format, dst_colorspace=matrix if matrix != 2 else 5, dst_color_range=2 if full_range else 1
            )
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
