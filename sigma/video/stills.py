"""Images as videos of one frame: a clip of an image is the image, repeated.

Pillow decodes them. Greyscale, palette and CMYK become RGB, transparency is left out, and EXIF says which way is up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from PIL import Image, ImageOps

from sigma.errors import DecodeError
from sigma.video.opening import MOST_PIXELS, reason_of
from sigma.video.whole import UnreadableVideo

STILL = 'still'  # the reader of images, in indexes and records
IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.webp'}
_ORIENTATION = 0x0112  # tag of EXIF


class StillReader:
    """The one frame of an image file, as often as asked for; the file is decoded once per call.

    Args:
        path: The file.
    """

    num_frames = 1

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB: the image n times; all indices must be 0.

        Raises:
            DecodeError: if the file is missing or damaged, or another frame is asked for.
        """
        if (numbers := np.asarray(indices)).any():
            raise DecodeError(f'{self.path}: an image has one frame, number 0; asked for {numbers.max()}.')
        try:
            image = read_still(self.path)
        except UnreadableVideo as error:
            raise DecodeError(f'{self.path}: {error}') from None
        except OSError as error:
            raise DecodeError(f'{self.path}: {error.strerror or error}') from None
        return np.repeat(image[None], len(numbers), axis=0)


def read_still(path: str | os.PathLike, strict: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image, upright.

    Args:
        path: The file.
        strict: Decode a JPEG a second time, by FFmpeg, which notices more damage. The index does.

    Raises:
        UnreadableVideo: if it is no image or is damaged, with the reason.
        OSError: if the file cannot be opened.
    """
    with _complaints_as_reasons():
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableVideo(f'an image of {image.width}x{image.height} is too large to decode')
            if strict and image.format == 'JPEG':
                _check_jpeg(Path(path).read_bytes())
            image.load()
            upright = ImageOps.exif_transpose(image) if _has_orientation(image) else image
        if upright.mode.startswith('I;16'):  # Pillow would cut off, not scale
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return np.asarray(upright.convert('RGB'))


def _check_jpeg(content: bytes) -> None:
    """Raise if FFmpeg's strict decoder finds damage: Pillow fills up with grey what is missing before an end marker."""
    av.logging.set_level(av.logging.ERROR)
    codec: Any = av.CodecContext.create('mjpeg', 'r')
    codec.options, codec.thread_type = {'err_detect': 'explode', 'max_pixels': str(MOST_PIXELS)}, 'NONE'
    try:
        with av.logging.Capture():
            codec.decode(av.Packet(content))
    except av.error.PatchWelcomeError:
        return  # a kind of JPEG that FFmpeg does not know; Pillow does
    except av.error.FFmpegError as error:
        raise UnreadableVideo(f'a damaged JPEG: {reason_of(error)}') from None


def _has_orientation(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except Exception:  # damaged EXIF brings up errors of many kinds; the pixels are not concerned
        return False


@contextmanager
def _complaints_as_reasons() -> Iterator[None]:
    """Pillow's errors about a file's content as UnreadableVideo; those of the disk stay OSError."""
    try:
        yield
    except (UnreadableVideo, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # OSError, SyntaxError, ValueError, its own; by format and kind of damage
        if isinstance(error, OSError) and error.errno:
            raise
        text = 'no image that Pillow knows' if 'cannot identify' in str(error) else ' '.join(str(error).split())
        raise UnreadableVideo(text or type(error).__name__) from None
