"""Chooses the strength of a linear probe's regularisation by cross-validation on the training clips."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.preprocessing import StandardScaler

from eval.probes.linear import few_threads


def cross_validated(
    values: np.ndarray,
    labels: np.ndarray,
    strengths: Sequence[float],
    folds: int,
    least_predictions: int,
    max_iterations: int,
    seed: int,
) -> dict[float, float]:
    """Held-out accuracy of each strength: every training clip is predicted by probes that were fitted without it.

    Folds are stratified by class. With few clips one division into folds decides by chance, so it is repeated with
    other divisions until there are `least_predictions` predictions. Two clips more or less then change the accuracy
    of a strength by about as much as two clips should.

    Args:
        values: (N, D) features, not standardised; each fold uses the mean and deviation of its own training clips.
        labels: (N,) classes. A class with a single clip has no training clip in one fold, alike for all strengths.
        strengths: Inverse strengths > 0 (scikit-learn's `C`).
        folds: Parts of a division, at least 2; no more than clips of the largest class are made.
        least_predictions: See above.
        max_iterations: Limit of the L-BFGS solver.
        seed: Draws the divisions.

    Returns:
        strength -> percent of held-out clips that were classified rightly.

    Raises:
        ValueError: if no class has two clips.
    """
    most = int(np.bincount(labels).max())
    if most < 2:
        raise ValueError('every class has a single training clip; cross-validation needs a class with two')
    folds = min(folds, most)
    repeats = max(1, math.ceil(least_predictions / len(labels)))
    right = dict.fromkeys(sorted(strengths), 0)
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'The least populated class', UserWarning)  # see `labels`
        splits = list(splitter.split(values, labels))
    with few_threads(values):
        for fit, held in splits:
            inside, outside = _reduced(values[fit], values[held])
            # From strong to weak, each starting where the last one ended.
            model = LogisticRegression(max_iter=max_iterations, warm_start=True)
            for strength in right:
                model.set_params(C=strength).fit(inside, labels[fit])
                right[strength] += int((model.predict(outside) == labels[held]).sum())
    return {strength: 100 * right[strength] / (repeats * len(labels)) for strength in strengths}


def _reduced(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both standardised by the first; with more features than clips, turned into the space that the clips span.

    The weights of a probe with L2 regularisation lie in that space, so the probe stays the same and costs less.
    """
    scaler = StandardScaler().fit(inside)
    inside, outside = scaler.transform(inside), scaler.transform(outside)
    if inside.shape[1] <= inside.shape[0]:
        return inside, outside
    basis = np.linalg.svd(inside, full_matrices=False)[2]  # (N, D)
    return inside @ basis.T, outside @ basis.T
