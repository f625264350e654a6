"""Weather. Fog, frost, snow and spatter stay the same for the whole video; rain is drawn for every frame."""

from __future__ import annotations

import cv2
import numpy as np

from eval.corruptions.blur import gaussian_blurred, motion_blurred, zoomed
from eval.corruptions.corruption import Draws, register, to_bytes
from eval.corruptions.noise import IMAGENET_C

KINETICS_C = 'Mini Kinetics-C, Newbeeyoung/Video-Corruption-Robustness, create_mini_ssv2_c.py'
PLASMA_SIDE = 256


def plasma(rng: np.random.Generator, decay: float, height: int, width: int) -> np.ndarray:
    """(height, width) float64 clouds from 0 to 1, by the diamond-square method.

    The map is 256 x 256 pixels and wraps around. Larger frames are tiled with it, so clouds keep their size. `decay` is
    how fast detail fades: 1.4 is rough, 3 is smooth.
    """
    field = np.zeros((PLASMA_SIDE, PLASMA_SIDE))
    step, roughness = PLASMA_SIDE, 100.0
    while step >= 2:
        half = step // 2

        def jittered(corner_sum: np.ndarray) -> np.ndarray:
            # The published code scales the draw by `roughness` twice.
            return corner_sum / 4 + roughness * rng.uniform(-roughness, roughness, corner_sum.shape)  # noqa: B023

        corners = field[::step, ::step]
        rows = corners + np.roll(corners, -1, axis=0)
        centres = jittered(rows + np.roll(rows, -1, axis=1))
        field[half::step, half::step] = centres
        beside = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        field[::step, half::step] = jittered(beside)
        below = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        field[half::step, ::step] = jittered(below)
        step, roughness = half, roughness / decay
    field -= field.min()
    field /= field.max()
    return np.tile(field, (-(-height // PLASMA_SIDE), -(-width // PLASMA_SIDE)))[:height, :width]


@register(
    'weather',
    ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    IMAGENET_C + '; one fog for all frames, as in Mini Kinetics-C',
    shared=True,
    suites=('imagenet-c', 'kinetics-c', 'ssv2-c'),
)
def fog(frames: np.ndarray, level: tuple[float, float], draws: Draws) -> np.ndarray:
    """Adds clouds and scales back to the range; level: (density as a share of 255, decay of detail)."""
    density, decay = level
    layer = (255 * density * plasma(draws.shared(), decay, *frames.shape[1:3])).astype(np.float32)[..., None]
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        brightest = frame.max() / 255
        out[t] = to_bytes((frame + layer) * np.float32(brightest / (brightest + density)))
    return out


@register(
    'weather',
    ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    IMAGENET_C + '; same constants, but our own texture: we may not ship its photographs of frost',
    shared=True,
    suites=('imagenet-c',),
    monotone=False,  # 4 has less picture than 3 and as much ice, so on bright pictures it differs less
)
def frost_procedural(frames: np.ndarray, level: tuple[float, float], draws: Draws) -> np.ndarray:
    """Adds a procedural texture of ice; level: (weight of the picture, weight of the ice).

    Not the published frost, which uses one of five photographs. Scores do not compare with ImageNet-C.
    """
    keep, ice = level
    layer = ice * frost_texture(draws.shared(), *frames.shape[1:3])
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        out[t] = to_bytes(frame * np.float32(keep) + layer)
    return out


def frost_texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) float32 from 0 to 255: bluish veins along the ridges of clouds, denser at the edges."""
    veins = sum(
        weight * (1 - np.abs(2 * plasma(rng, decay, height, width) - 1)) ** power
        for decay, power, weight in ((1.5, 3, 0.6), (2, 6, 0.4))
    )
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    edge = 0.45 + 0.55 * np.clip(np.maximum(abs(y), abs(x)), 0, 1) ** 2
    colour = np.array([217, 235, 255], dtype=np.float32)  # pale blue
    return (np.clip(1.3 * veins * edge, 0, 1)[..., None] * colour).astype(np.float32)


@register(
    'weather',
    (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    IMAGENET_C + '; one fall of flakes for all frames',
    shared=True,
    suites=('imagenet-c',),
    monotone=False,  # which of severities 2 and 3 does more damage depends on the picture
)
def snow(frames: np.ndarray, level: tuple, draws: Draws) -> np.ndarray:
    """Whitens the picture and adds snowflakes.

    Level: (mean, sigma and zoom of the noise that flakes are cut from, its threshold, radius and sigma of the motion
    blur in pixels, share of the picture kept).
    """
    mean, spread, zoom, threshold, radius, sigma, keep = level
    rng = draws.shared()
    flakes = zoomed(rng.normal(mean, spread, frames.shape[1:3]), zoom)
    flakes[flakes < threshold] = 0
    flakes = (np.clip(flakes, 0, 1) * 255).astype(np.uint8)
    flakes = motion_blurred(flakes, radius, sigma, rng.uniform(-135, -45)).astype(np.float32)
    flakes = (flakes + np.rot90(flakes, k=2))[..., None]
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        picture = frame.astype(np.float32)
        pale = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] * 1.5 + 127.5  # may exceed 255
        out[t] = to_bytes(keep * picture + (1 - keep) * np.maximum(picture, pale) + flakes)
    return out


@register(
    'weather',
    (
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 1.5, 1),
        (0.67, 0.4, 1, 0.65, 1.5, 1),
    ),
    IMAGENET_C + '; the drops stay on the lens',
    shared=True,
    suites=('imagenet-c',),
    monotone=False,  # from water to mud after severity 3
)
def spatter(frames: np.ndarray, level: tuple, draws: Draws) -> np.ndarray:
    """Drops on the lens: water at severities 1 to 3, mud at 4 and 5.

    Level: (mean and sigma of the noise, sigma of its blur in pixels, threshold, strength of water or sigma of mud in
    pixels, 0 for water or 1 for mud).
    """
    mean, spread, blur, threshold, strength, is_mud = level
    liquid = gaussian_blurred(draws.shared().normal(mean, spread, frames.shape[1:3]), blur)
    liquid[liquid < threshold] = 0
    if is_mud:
        weight = gaussian_blurred((liquid > threshold).astype(np.float32), strength)
        weight[weight < 0.8] = 0
        colour, keep = (63, 42, 20), 1 - weight  # brown
    else:
        weight = strength * _water(liquid)
        colour, keep = (175, 238, 238), np.ones_like(weight)  # pale turquoise
    layer = weight[..., None] * np.array(colour, dtype=np.float32)
    keep = keep[..., None]
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        out[t] = to_bytes(frame * keep + layer)
    return out


def _water(liquid: np.ndarray) -> np.ndarray:
    """(H, W) float32 from 0 to 1: light refracted at the rim of drops."""
    liquid = (liquid * 255).astype(np.uint8)
    rim = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    rim = cv2.equalizeHist(cv2.blur(np.minimum(rim, 20), (3, 3)).astype(np.uint8))
    rim = cv2.filter2D(rim, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=np.float32))
    light = liquid * cv2.blur(rim, (3, 3)).astype(np.float32)
    return light / max(float(light.max()), 1e-6)


@register(
    'weather',
    # pixels per drop, length in pixels, contrast kept
    ((770, 10, 0.8), (770, 30, 0.8), (770, 60, 0.7), (500, 60, 0.6), (400, 80, 0.5)),
    KINETICS_C,
    shared=False,
    suites=('kinetics-c', 'ssv2-c'),
)
def rain(frames: np.ndarray, level: tuple[int, int, float], draws: Draws) -> np.ndarray:
    """Streaks of rain and lower contrast; level: (pixels per drop, length in pixels, share of contrast kept)."""
    area, length, contrast_kept = level
    height, width = frames.shape[1:3]
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        rng = draws.frame(t)
        # As published, the slant only moves where drops start; all streaks lean by one pixel.
        slant = int(rng.integers(-10, 10))
        count = height * width // area
        x = rng.integers(min(slant, 0), width - max(slant, 0), count)
        y = rng.integers(0, max(height - length, 1), count)  # streaks longer than the picture start at its top
        lines = np.stack([np.stack([x, y], 1), np.stack([x - 1, y + length], 1)], 1).astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.polylines(mask, list(lines), isClosed=False, color=220)
        out[t] = _rainy(frame, mask, contrast_kept)
    return out


def _rainy(frame: np.ndarray, mask: np.ndarray, contrast_kept: float) -> np.ndarray:
    share = mask[..., None] / np.float32(255)
    lighter = frame + (share * (255 - frame) * np.float32(1 - frame.mean() / 255)).astype(np.uint8)
    wet = frame + share * (cv2.blur(lighter, (3, 3)).astype(np.float32) - frame)
    mean = np.array(cv2.mean(wet)[:3], dtype=np.float32)
    return to_bytes((wet - mean) * np.float32(contrast_kept) + mean)
