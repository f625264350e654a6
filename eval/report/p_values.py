"""The p of comparisons: exact where answers are few, and corrected for the number of comparisons. No torch.

statsmodels has Holm's correction and McNemar's test too, but takes seconds to import; tests hold ours against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, special

from eval.report.variances import Variance

# Rounds of a test by swapped signs where its exact distribution is too large to compute.
NUM_SWAPS = 10_000


def holm(p_values: Sequence[float]) -> list[float]:
    """The p of several comparisons, corrected for their number in the way of Holm.

    If verdicts are given where the corrected p is below 0.05, the chance of a single false one among them is at most
    5 %, whatever their dependence.

    Raises:
        ValueError: if a p is not between 0 and 1.

    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p_values, dtype=float)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f'p values are {values.tolist()}; need numbers from 0 to 1')
    order = np.argsort(values, kind='stable')
    corrected = np.empty_like(values)
    # The smallest p times their number, the next one times one less; none below the one before it.
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(corrected, 1).tolist()


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> np.ndarray:
    """Two-sided p of McNemar's exact test: of how many videos only one side has right; any shape.

    It is the binomial test of these counts against a half.
    """
    counts = np.asarray(only_first, dtype=int), np.asarray(only_second, dtype=int)
    return np.minimum(1.0, 2 * special.bdtr(np.minimum(*counts), counts[0] + counts[1], 0.5))


def p_of_t(value: float, variance: Variance) -> float:
    """Two-sided p of Student's t; 1 if there is no difference."""
    if abs(value) < 1e-12:
        return 1.0
    if variance.value <= 0:
        return 0.0
    ratio = -abs(value) / math.sqrt(variance.value)
    below = special.stdtr(variance.for_p, ratio) if math.isfinite(variance.for_p) else special.ndtr(ratio)
    return float(2 * below)


def p_of_swaps(differences: np.ndarray) -> float:
    """Two-sided p of the sum of (N,) differences against all ways to change their signs.

    Exact where the differences are few whole multiples of one number, as those of right and wrong over a few seeds.
    Otherwise by `NUM_SWAPS` random ways; one is added, since the data themselves are one of the ways.
    """
    sizes = np.abs(differences)
    unit = sizes.max(initial=0)
    if unit < 1e-12:
        return 1.0
    total = abs(float(differences.sum()))
    smallest = sizes[sizes > 1e-9 * unit].min()
    for multiple in range(1, 31):
        steps = sizes / smallest * multiple
        if np.abs(steps - steps.round()).max() < 1e-6:
            break
    else:
        return _p_of_random_swaps(sizes, total)
    steps = steps.round().astype(int)
    if steps.sum() > 50_000:
        return _p_of_random_swaps(sizes, total)
    sums: np.ndarray = np.ones(1)  # distribution of the sum of those with a plus, in units of one step
    for step, count in zip(*np.unique(steps[steps > 0], return_counts=True)):
        own = np.zeros(step * count + 1)
        plus = np.arange(count + 1)
        ways = special.gammaln(count + 1) - special.gammaln(plus + 1) - special.gammaln(count - plus + 1)
        own[::step] = np.exp(ways - count * math.log(2))  # binomial
        sums = np.convolve(sums, own) if len(own) * len(sums) < 1e7 else _long_convolution(sums, own)
    deviation = np.abs(2 * np.arange(len(sums)) - steps.sum())  # 2 plus - all
    observed = round(total / smallest * multiple)
    return float(np.clip(sums[deviation >= observed].sum(), 0, 1))


def _p_of_random_swaps(sizes: np.ndarray, total: float) -> float:
    rng = np.random.default_rng(0)
    sizes, counts = np.unique(sizes[sizes > 0].round(15), return_counts=True)
    sums = np.full(NUM_SWAPS, -float(counts @ sizes))
    often = counts > 1
    for size, count in zip(sizes[often], counts[often]):
        sums += 2 * size * rng.binomial(count, 0.5, NUM_SWAPS)
    for start in range(0, int((~often).sum()), 400):
        size = 2 * sizes[~often][start : start + 400]
        bits = np.frombuffer(rng.bytes(NUM_SWAPS * -(-len(size) // 8)), dtype=np.uint8)
        sums += np.unpackbits(bits.reshape(NUM_SWAPS, -1), axis=1, count=len(size)).astype(np.float64) @ size
    beyond = int((np.abs(sums) >= total * (1 - 1e-9)).sum())
    return (beyond + 1) / (NUM_SWAPS + 1)


def _long_convolution(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Convolution of two long distributions, without the small negative values of an FFT."""
    # As scipy.signal.fftconvolve, whose import takes more than a second.
    size = len(first) + len(second) - 1
    fast = fft.next_fast_len(size, True)
    joined = fft.irfftn(fft.rfftn(first, [fast]) * fft.rfftn(second, [fast]), [fast])[:size]
    return np.maximum(joined, 0)
