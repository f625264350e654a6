"""Metrics of a sweep over corruptions, from what was right in each of its cells.

Shape letters: N videos, K columns: the clean videos first, then one cell for each corruption and severity, then
diagnostics. `correct` (N, K) holds 1 where the label came first, else 0. `counted` (N, K) bool has the same row for
every video and marks the cells that enter the mean. All corruptions of a sweep have the same severities, so the mean
over cells gives each corruption the same weight.

Relative metrics divide by the clean accuracy, which favours weak encoders, so they are always shown together with it.

Source: mPC and rPC: Mini Kinetics-C (NeurIPS Datasets and Benchmarks 2021); gamma: UCF101-P (CVPR 2023).
"""

from __future__ import annotations

import math

import numpy as np


def clean_accuracy(correct: np.ndarray, counted: np.ndarray) -> float:
    """Top-1 on clean videos, decoded and resized in the same way; percent."""
    _checked(correct, counted)
    return 100 * float(correct[:, 0].mean(dtype=np.float64))


def corrupted_shares(correct: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(N,) share of the counted cells in which each video is right."""
    return correct[:, _checked(correct, counted)].mean(axis=1, dtype=np.float64)


def mean_corrupted(correct: np.ndarray, counted: np.ndarray) -> float:
    """mPC: mean top-1 over the counted cells; percent."""
    return 100 * float(corrupted_shares(correct, counted).mean())


def relative_corrupted(correct: np.ndarray, counted: np.ndarray) -> float:
    """rPC: mPC as percent of the clean accuracy; NaN if that is 0."""
    clean = clean_accuracy(correct, counted)
    return 100 * mean_corrupted(correct, counted) / clean if clean else math.nan


def absolute_robustness(correct: np.ndarray, counted: np.ndarray) -> float:
    """gamma-a: 1 - (clean - corrupted) / 100, mean over cells; ratio."""
    return 1 - (clean_accuracy(correct, counted) - mean_corrupted(correct, counted)) / 100


def relative_robustness(correct: np.ndarray, counted: np.ndarray) -> float:
    """gamma-r: 1 - (clean - corrupted) / clean, mean over cells: rPC / 100; NaN if the clean accuracy is 0."""
    return relative_corrupted(correct, counted) / 100


def worst_cell(correct: np.ndarray, counted: np.ndarray) -> float:
    """Lowest top-1 of a counted cell; percent."""
    return 100 * float(correct[:, _checked(correct, counted)].mean(axis=0, dtype=np.float64).min())


def ranks(accuracies: np.ndarray) -> np.ndarray:
    """Rank of each of (E,) accuracies, 1 is the best; equal accuracies share the better rank.

    Raises:
        ValueError: if accuracies are not of shape (E,), or one is not finite.
    """
    accuracies = np.asarray(accuracies)
    if accuracies.ndim != 1 or accuracies.dtype.kind not in 'iuf' or not np.isfinite(accuracies).all():
        raise ValueError(f'accuracies are {accuracies.tolist()}; a rank needs finite numbers of shape (E,)')
    return 1 + (accuracies[None, :] > accuracies[:, None]).sum(axis=1)


def _checked(correct: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(K,) bool, which columns count.

    Raises:
        ValueError: if shapes differ, no cell counts, rows of `counted` differ, the clean column counts, or `correct`
            holds something else than shares.
    """
    correct, counted = np.asarray(correct), np.asarray(counted)
    if correct.ndim != 2 or len(correct) == 0 or counted.shape != correct.shape or counted.dtype != bool:
        raise ValueError(
            f'`correct` has shape {correct.shape}, `counted` {counted.dtype} {counted.shape}; need (N, K) and bool of '
            'the same shape'
        )
    outside = ~((correct >= 0) & (correct <= 1))  # NaN too
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(
            f'{int(outside.sum())} of {correct.size} values of `correct` are no shares from 0 to 1, first '
            f'{correct[row, column]} in row {row}, column {column}'
        )
    columns = counted[0]
    if columns[0] or not columns.any() or (counted != columns).any():
        raise ValueError(
            'the first column is clean and must not count; the same cells must count in all videos, at least one'
        )
    return columns
