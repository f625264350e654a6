"""Do two columns order encoders alike? Kendall's tau-b and Spearman's rho, with intervals. No torch."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

from eval.report.aligned import Scores, once, scores, shared_noise, short_name
from eval.report.table import Column, Table

MIN_ENCODERS = 3
NUM_DRAWS = 500
# An interval takes about 10 ms; with more pairs than this (those of 21 columns) only the pairs in `sentences` get one.
MOST_INTERVALS = 210
# Least share of the variance between encoders that a draw takes as real, divided by their number. Chosen on simulated
# columns (tests/eval/report/test_agreement.py): without it, intervals of 3 encoders held the truth in 90 %.
LEAST_REAL = 0.1


class Agreement(NamedTuple):
    """How alike two columns order the encoders that both have; random weights are not among them."""

    first: Column
    second: Column
    num_encoders: int
    tau: float  # Kendall's tau-b; NaN where a column gives all encoders the same score
    tau_low: float  # 95 % interval of the tau of the true scores; NaN where it is unknown
    tau_high: float
    rho: float  # Spearman's
    rho_low: float
    rho_high: float
    how: str  # what is drawn again, or why there is no interval


@once
def agreements(table: Table) -> list[Agreement]:
    """Each pair of measured columns that share three encoders or more, in the order of the table.

    tau and rho are those of the scores that we have. Their intervals are about the true scores of these same
    encoders, not about other encoders. To draw scores with replacement from ours would add the noise of videos and
    seeds a second time, and put the interval below the truth. Instead each draw takes the covariance of the observed
    scores between encoders from its posterior (inverse Wishart), subtracts that of the noise, and draws true scores
    given the observed ones. Noise is that of the test videos and seeds of each column; columns with the same test
    videos share a part of it.

    Simulated with 3 to 20 encoders, true correlations of 0 and 0.95, and noise of 0.1 to 1 times the spread of scores,
    intervals of tau held the truth in 93 to 100 % of tables (docs/statistics.md). Draws with replacement: down to 0 %.
    """
    pairs = combinations(table.measured, 2)
    found = (agreement(table, *pair, interval=not _is_capped(table)) for pair in pairs)
    return [each for each in found if each is not None]


def agreement(table: Table, first: Column, second: Column, interval: bool = True) -> Agreement | None:
    """How alike two columns order encoders, with or without an interval; None if they share fewer than three."""
    sides = scores(table, first), scores(table, second)
    rows = [row for row in sides[0].of if row in sides[1].of]
    if len(rows) < MIN_ENCODERS:
        return None
    observed = np.array([[side.oriented[row] for row in rows] for side in sides])  # (2, K)
    tau, rho = (float(each[0]) for each in (tau_b(observed[0], observed[1:]), spearman(observed[0], observed[1:])))
    unknown = Agreement(first, second, len(rows), tau, np.nan, np.nan, rho, np.nan, np.nan, '')
    if not interval:
        return unknown._replace(how=f'no interval: the table has more than {MOST_INTERVALS} pairs of columns')
    if any(side.noise is None for side in sides):
        return unknown._replace(how='no interval: numbers without one are among the scores')
    if not np.isfinite(tau):
        return unknown._replace(how='no interval: a column gives all encoders the same score')
    true = _draws(observed, _noise(sides, shared_noise(table, first, second)))  # (D, 2, K)
    bounds = [np.quantile(drawn, (0.025, 0.975)) for drawn in _without_ties(true)]
    return unknown._replace(
        # The interval holds the number itself, whatever the draws say.
        tau_low=min(tau, float(bounds[0][0])),
        tau_high=max(tau, float(bounds[0][1])),
        rho_low=min(rho, float(bounds[1][0])),
        rho_high=max(rho, float(bounds[1][1])),
        how='true scores drawn given ours, by the noise of test videos and seeds',
    )


def sentences(table: Table, most: int = 3) -> list[str]:
    """What a reader should know: the pairs of columns that agree least and most, and what an interval is about."""
    known = sorted((each for each in agreements(table) if np.isfinite(each.tau)), key=lambda each: each.tau)
    if not known:
        return ['Columns are not compared with each other: no two of them share three encoders besides random weights.']
    num_pairs, said = len(known), []
    named = [*known[:most], known[-1]] if num_pairs > 1 else known
    if _is_capped(table):
        named = [agreement(table, each.first, each.second) or each for each in named]
    if num_pairs > 1:
        mean = np.mean([each.tau for each in known])
        said.append(f"Kendall's tau between two columns is {mean:.2f} on average of {num_pairs} pairs (1: same order).")
        said.append('Least alike: ' + '; '.join(pair_text(table, each) for each in named[:-1]) + '.')
    said.append(('Most alike: ' if num_pairs > 1 else '') + pair_text(table, named[-1]) + '.')
    if _is_capped(table):
        said.append(f'With more than {MOST_INTERVALS} pairs, only the pairs named here have intervals.')
    if any(np.isfinite(each.tau_low) for each in (*known, *named)):
        said.append(
            'Intervals (95 %) are for these encoders, by the noise of videos and seeds; others may agree otherwise.'
        )
    return said


def _is_capped(table: Table) -> bool:
    """Whether there are too many pairs of columns to give each an interval."""
    return comb(len(table.measured), 2) > MOST_INTERVALS


def pair_text(table: Table, each: Agreement) -> str:
    """`a and b: tau 0.60 [0.20, 0.90], rho 0.70 [0.30, 1.00], 5 encoders`."""
    tau, rho = (
        f'{value:.2f}' + (f' [{low:.2f}, {high:.2f}]' if np.isfinite(low) else '')
        for value, low, high in ((each.tau, each.tau_low, each.tau_high), (each.rho, each.rho_low, each.rho_high))
    )
    names = ' and '.join(short_name(table, column) for column in (each.first, each.second))
    return f'{names}: tau {tau}, rho {rho}, {each.num_encoders} encoders'


def tau_b(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(D,) Kendall's tau-b of (D, K) and (D, K) scores, or of (K,) and (D, K); NaN where all scores of a side tie."""
    i, j = np.triu_indices(second.shape[-1], 1)
    signs = [np.sign(side[..., i] - side[..., j]) for side in (np.atleast_2d(first), np.atleast_2d(second))]
    untied = [(side**2).sum(axis=-1) for side in signs]
    with np.errstate(invalid='ignore', divide='ignore'):
        return (signs[0] * signs[1]).sum(axis=-1) / np.sqrt(untied[0] * untied[1])


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(D,) Spearman's rho, arguments as in `tau_b`; ties share the mean of their ranks."""
    ranks = [_ranks(np.atleast_2d(side)) for side in (first, second)]
    around = [side - side.mean(axis=-1, keepdims=True) for side in ranks]
    with np.errstate(invalid='ignore', divide='ignore'):
        scale = np.sqrt((around[0] ** 2).sum(axis=-1) * (around[1] ** 2).sum(axis=-1))
        return (around[0] * around[1]).sum(axis=-1) / scale


def _without_ties(true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) tau and (D,) rho of (D, 2, K) scores that are all different; faster than `tau_b` and `spearman`."""
    num = true.shape[-1]
    above = true[..., None] > true[..., None, :]  # (D, 2, K, K)
    opposed = (above[:, 0] ^ above[:, 1]).sum(axis=(1, 2))
    apart = above.sum(axis=-1, dtype=np.int32)  # ranks from 0
    squared = ((apart[:, 0] - apart[:, 1]) ** 2).sum(axis=-1)
    return 1 - 2 * opposed / (num * (num - 1)), 1 - 6 * squared / (num * (num**2 - 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """(D, K) ranks from 1, the highest last."""
    below = (values[..., None, :] < values[..., None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., None]).sum(axis=-1)
    return below + (equal + 1) / 2


def _noise(sides: tuple[Scores, Scores], shared: float) -> np.ndarray:
    """(2, 2) covariance of the noise of an encoder in both columns."""
    variances = [side.noise or 0.0 for side in sides]
    most = np.sqrt(variances[0] * variances[1])
    shared = float(np.clip(shared, -most, most))
    return np.array([[variances[0], shared], [shared, variances[1]]])


def _draws(observed: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(D, 2, K) true scores of K encoders in two columns, given (2, K) observed ones and the covariance of noise."""
    num = observed.shape[1]
    rng = np.random.default_rng(0)
    scale = np.sqrt(observed.var(axis=1, ddof=1) + np.diag(noise))  # units of the columns do not matter
    scale[scale == 0] = 1.0
    around = (observed - observed.mean(axis=1, keepdims=True)) / scale[:, None]
    noise = noise / np.outer(scale, scale)
    precision = np.linalg.inv(around @ around.T + 1e-9 * np.eye(2))
    root = np.linalg.cholesky(precision)
    normal = rng.standard_normal((NUM_DRAWS, max(num - 1, 2), 2)) @ root.T
    seen = np.linalg.inv(np.einsum('dni,dnj->dij', normal, normal))  # of observed scores
    sizes, axes = np.linalg.eigh(seen - noise)
    least = LEAST_REAL / num * np.trace(seen, axis1=1, axis2=2)[:, None] / 2
    real = (axes * np.maximum(sizes, least)[:, None]) @ axes.transpose(0, 2, 1)
    kept = real @ np.linalg.inv(real + noise)  # (D, 2, 2) of the observed deviations
    left = real - kept @ real
    sizes, axes = np.linalg.eigh((left + left.transpose(0, 2, 1)) / 2)
    root = axes * np.sqrt(np.maximum(sizes, 0))[:, None]
    return kept @ around + root @ rng.standard_normal((NUM_DRAWS, 2, num))
