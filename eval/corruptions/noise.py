"""Sensor noise, drawn independently for every frame.

Pixel values are bytes, so 16 random bits per draw are enough: they pick one of 65536 quantiles from a table. That is
several times faster than exact draws. The price is a largest normal deviate of 4.2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from eval.corruptions.corruption import Draws, register, to_bytes

IMAGENET_C = 'ImageNet-C, hendrycks/robustness, corruptions.py'
POISSON_BITS = 14  # a table of 256 x 16384 bytes per level; with 16 bits it would not fit into the cache


def _random_words(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform uint16 of that shape."""
    count = int(np.prod(shape))
    words = rng.bit_generator.random_raw((count + 3) // 4).astype('<u8', copy=False)
    return words.view('<u2')[:count].reshape(shape)


@lru_cache(maxsize=1)
def _normal_quantiles() -> np.ndarray:
    """(65536,) float64 quantiles, mean 0 and standard deviation 1."""
    quantiles = special.ndtri((np.arange(65536) + 0.5) / 65536)
    return quantiles / quantiles.std()


@register(
    'noise',
    (0.08, 0.12, 0.18, 0.26, 0.38),
    IMAGENET_C,
    shared=False,
    suites=('imagenet-c', 'ucf-p'),
)
def gaussian_noise(frames: np.ndarray, sigma: float, draws: Draws) -> np.ndarray:
    """Adds normal noise to every value; level: standard deviation on the scale 0 to 1."""
    # Values are whole numbers, so rounding the noise equals rounding the sum.
    table = np.rint(255 * sigma * _normal_quantiles()).astype(np.int16)
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        noise = np.take(table, _random_words(draws.frame(t), frame.shape))
        out[t] = np.clip(frame + noise, 0, 255)
    return out


@lru_cache(maxsize=16)
def _poisson_quantiles(photons: float) -> np.ndarray:
    """(256 * 2^POISSON_BITS,) uint8: the new value for each value and each pattern of random bits."""
    from scipy import stats  # half a second, which lists of names need not wait for

    size = 1 << POISSON_BITS
    u = (np.arange(size) + 0.5) / size
    counts = np.arange(int(photons + 10 * np.sqrt(photons) + 20))
    seen = np.clip(np.rint(counts / photons * 255), 0, 255).astype(np.uint8)
    rows = [seen[np.searchsorted(stats.poisson.cdf(counts, value / 255 * photons), u)] for value in range(256)]
    return np.concatenate(rows)


@register(
    'noise',
    (60, 25, 12, 5, 3),
    IMAGENET_C,
    shared=False,
    suites={
        'imagenet-c': (60, 25, 12, 5, 3),
        'kinetics-c': (60, 25, 12, 5, 3),
        'ssv2-c': (60, 25, 12, 5, 3),
        'ucf-p': (250, 100, 50, 30, 15),
    },
)
def shot_noise(frames: np.ndarray, photons: float, draws: Draws) -> np.ndarray:
    """Poisson noise of photon counts; level: mean number of photons for white."""
    table = _poisson_quantiles(photons)
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        index = _random_words(draws.frame(t), frame.shape) >> np.uint16(16 - POISSON_BITS)
        out[t] = np.take(table, (frame.astype(np.int64) << POISSON_BITS) | index)
    return out


@register(
    'noise',
    (0.03, 0.06, 0.09, 0.17, 0.27),
    IMAGENET_C,
    shared=False,
    suites=('imagenet-c', 'ucf-p'),
)
def impulse_noise(frames: np.ndarray, amount: float, draws: Draws) -> np.ndarray:
    """Salt and pepper: sets values to 0 or 255; level: share of values, half for each."""
    pepper, salt = round(65536 * amount / 2), round(65536 * amount)
    out = frames.copy()
    for t, frame in enumerate(frames):
        words = _random_words(draws.frame(t), frame.shape)
        out[t][words < salt] = 255
        out[t][words < pepper] = 0
    return out


@register(
    'noise',
    (0.15, 0.20, 0.35, 0.45, 0.60),
    IMAGENET_C,
    shared=False,
    suites={'imagenet-c': (0.15, 0.20, 0.35, 0.45, 0.60), 'ucf-p': (0.15, 0.2, 0.25, 0.3, 0.35)},
)
def speckle_noise(frames: np.ndarray, sigma: float, draws: Draws) -> np.ndarray:
    """Multiplies every value by 1 + normal noise; level: standard deviation of the noise."""
    table = (1 + sigma * _normal_quantiles()).astype(np.float32)
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        factor = np.take(table, _random_words(draws.frame(t), frame.shape))
        out[t] = to_bytes(frame * factor)  # negative factors give 0
    return out
