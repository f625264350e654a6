"""Figures of a sweep over corruptions, from what was right in each of its cells.

Shape letters: N videos, K columns: the clean videos first, then a cell for each corruption and severity, then
diagnostics. `correct` (N, K) holds 1 where the label came first, else 0; `counted` (N, K) bool has the same row for
every video and marks the cells that the mean takes. All corruptions of a sweep have the same severities, so the mean
over cells gives each the same weight.

The relative figures are the absolute ones divided by the clean accuracy, which flatters weak encoders: they are never
shown without it.

Source: mPC and rPC: Mini Kinetics-C (NeurIPS Datasets and Benchmarks 2021); gamma: UCF101-P (CVPR 2023).
"""

from __future__ import annotations

import math

import numpy as np


def clean_accuracy(correct: np.ndarray, counted: np.ndarray) -> float:
    """Top-1 without corruption, through the same decoding and working size; percent."""
    _checked(correct, counted)
    return 100 * float(correct[:, 0].mean(dtype=np.float64))


def corrupted_shares(correct: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(N,) share of the counted cells in which each video is right."""
    return correct[:, _checked(correct, counted)].mean(axis=1, dtype=np.float64)


def mean_corrupted(correct: np.ndarray, counted: np.ndarray) -> float:
    """mPC: mean top-1 over the counted cells; percent."""
    return 100 * float(corrupted_shares(correct, counted).mean())


def relative_corrupted(correct: np.ndarray, counted: np.ndarray) -> float:
    """rPC: mPC as percent of the clean accuracy; NaN where nothing clean is right."""
    clean = clean_accuracy(correct, counted)
    return 100 * mean_corrupted(correct, counted) / clean if clean else math.nan


def absolute_robustness(correct: np.ndarray, counted: np.ndarray) -> float:
    """gamma-a: 1 - (clean - corrupted) / 100, mean over cells; ratio."""
    return 1 - (clean_accuracy(correct, counted) - mean_corrupted(correct, counted)) / 100


def relative_robustness(correct: np.ndarray, counted: np.ndarray) -> float:
    """gamma-r: 1 - (clean - corrupted) / clean, mean over cells: rPC / 100. NaN where nothing clean is right."""
    return relative_corrupted(correct, counted) / 100


def worst_cell(correct: np.ndarray, counted: np.ndarray) -> float:
    """Lowest top-1 of a counted cell; percent."""
    return 100 * float(correct[:, _checked(correct, counted)].mean(axis=0, dtype=np.float64).min())


def ranks(accuracies: np.ndarray) -> np.ndarray:
    """Rank of each of (E,) accuracies, 1 the best; equal ones share the better rank."""
    accuracies = np.asarray(accuracies)
    return 1 + (accuracies[None, :] > accuracies[:, None]).sum(axis=1)


def _checked(correct: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(K,) which columns count.

    Raises:
        ValueError: on shapes that differ, no counted cell, rows of `counted` that differ, or a counted clean column.
    """
    correct, counted = np.asarray(correct), np.asarray(counted)
    if correct.ndim != 2 or len(correct) == 0 or counted.shape != correct.shape or counted.dtype != bool:
        raise ValueError(
            f'right answers have shape {correct.shape}, what counts {counted.dtype} {counted.shape}; wanted (N, K) '
            'and bool of the same shape'
        )
    columns = counted[0]
    if columns[0] or not columns.any() or (counted != columns).any():
        raise ValueError('the first column is the clean one, the same cells count in every video, and one at least')
    return columns
