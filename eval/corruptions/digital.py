"""Changes of light, colour and pixels. Only `elastic_transform` is random."""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image
from scipy import fft

from eval.corruptions.corruption import Draws, register
from eval.corruptions.noise import IMAGENET_C


@register(
    'digital',
    (0.4, 0.3, 0.2, 0.1, 0.05),
    IMAGENET_C,
    shared=None,
    suites={
        'imagenet-c': (0.4, 0.3, 0.2, 0.1, 0.05),
        'kinetics-c': (0.5, 0.4, 0.3, 0.2, 0.1),
        'ssv2-c': (0.5, 0.4, 0.3, 0.2, 0.1),
    },
)
def contrast(frames: np.ndarray, factor: float, draws: Draws) -> np.ndarray:
    """Lowers contrast; level: factor of each value's distance from the mean of its frame and channel."""
    values, out = np.arange(256)[:, None], np.empty_like(frames)
    for t, frame in enumerate(frames):
        mean = np.array(cv2.mean(frame)[:3])
        table = np.clip(np.rint((values - mean) * factor + mean), 0, 255).astype(np.uint8)  # (256, 3)
        out[t] = cv2.LUT(frame, table[None])
    return out


def _in_hsv(frames: np.ndarray, change) -> np.ndarray:
    """Apply `change` in place to float32 (H, W, 3) HSV: hue 0 to 360, saturation and value 0 to 1."""
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        unit = cv2.multiply(frame, (1 / 255,) * 4, dtype=cv2.CV_32F)  # type: ignore[call-overload]  # scalars are legal
        hsv = cv2.cvtColor(unit, cv2.COLOR_RGB2HSV)
        change(hsv)
        out[t] = cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), alpha=255)
    return out


@register(
    'digital',
    (0.1, 0.2, 0.3, 0.4, 0.5),
    IMAGENET_C,
    shared=None,
    suites=('imagenet-c', 'kinetics-c', 'ssv2-c'),
)
def brightness(frames: np.ndarray, shift: float, draws: Draws) -> np.ndarray:
    """Brightens; level: added to the value of HSV, which goes from 0 to 1."""

    def change(hsv: np.ndarray) -> None:
        hsv[..., 2] = np.minimum(hsv[..., 2] + np.float32(shift), 1)

    return _in_hsv(frames, change)


@register(
    'digital',
    ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    IMAGENET_C,
    shared=None,
    suites=('imagenet-c', 'kinetics-c', 'ssv2-c'),
    monotone=False,  # first towards gray, then the other way
)
def saturate(frames: np.ndarray, level: tuple[float, float], draws: Draws) -> np.ndarray:
    """Changes saturation; level: (factor, shift) of the saturation of HSV.

    A shift makes gray reddish, as published.
    """
    factor, shift = map(np.float32, level)

    def change(hsv: np.ndarray) -> None:
        hsv[..., 1] = np.minimum(hsv[..., 1] * factor + shift, 1)

    return _in_hsv(frames, change)


@register('digital', (25, 18, 15, 10, 7), IMAGENET_C, shared=None, suites=('imagenet-c', 'ucf-p'))
def jpeg_compression(frames: np.ndarray, quality: int, draws: Draws) -> np.ndarray:
    """JPEG compression of each frame; level: Pillow's quality."""
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, 'JPEG', quality=quality)
        out[t] = np.asarray(Image.open(file))
    return out


@register('digital', (0.6, 0.5, 0.4, 0.3, 0.25), IMAGENET_C, shared=None, suites=('imagenet-c',))
def pixelate(frames: np.ndarray, scale: float, draws: Draws) -> np.ndarray:
    """Pixelates; level: factor by which both sides shrink before pixels are repeated."""
    height, width = frames.shape[1:3]
    small, out = (int(width * scale), int(height * scale)), np.empty_like(frames)
    for t, frame in enumerate(frames):
        shrunk = Image.fromarray(frame).resize(small, Image.Resampling.BOX)
        out[t] = np.asarray(shrunk.resize((width, height), Image.Resampling.BOX))
    return out


@register(
    'digital',
    # The published code has 244 pixels and notes that 224 was meant.
    (
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    ),
    IMAGENET_C + '; one warp for all frames',
    shared=True,
    suites=('imagenet-c',),
    monotone=False,  # severities 1 and 2 shear the picture far more than 3 to 5, which ripple it
)
def elastic_transform(frames: np.ndarray, level: tuple[float, float, float], draws: Draws) -> np.ndarray:
    """A random affine shift, then ripples; level: (height of ripples, their smoothness, shift) in pixels."""
    amplitude, sigma, jolt = level
    height, width = frames.shape[1:3]
    rng = draws.shared()
    middle, reach = np.array([width // 2, height // 2]), min(height, width) // 3
    corners = np.array([middle + reach, middle + (reach, -reach), middle - reach], dtype=np.float32)
    affine = cv2.getAffineTransform(corners, corners + rng.uniform(-jolt, jolt, (3, 2)).astype(np.float32))
    dx, dy = (amplitude * _smooth(rng.uniform(-1, 1, (height, width)), sigma) for _ in 'xy')
    y, x = np.mgrid[:height, :width]
    map_x, map_y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        jolted = cv2.warpAffine(frame, affine, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        out[t] = cv2.remap(jolted, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return out


def _smooth(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian filter cut at 3 sigma pixels; the field is mirrored at its edges (scipy's 'reflect').

    At severity 1 the kernel is four times as wide as the picture. A field mirrored at half a pixel is a cosine series,
    and a symmetric filter multiplies each of its frequencies by a factor. That is exact for any width.
    """
    rows, columns = (_response(side, sigma) for side in field.shape)
    return fft.idctn(fft.dctn(field) * rows[:, None] * columns)


@lru_cache(maxsize=16)
def _response(side: int, sigma: float) -> np.ndarray:
    """(side,) factors, one per frequency k: the sum over taps j of w_j cos(pi k j / side)."""
    taps = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (taps / sigma) ** 2)
    return np.cos(np.pi * np.arange(side)[:, None] * taps / side) @ (weights / weights.sum())
