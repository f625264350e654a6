"""Logistic regression on features."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

_SMALL = 2**25  # values; matrices of fewer are not worth a second thread


def few_threads(values: np.ndarray) -> AbstractContextManager:
    """One BLAS thread for small features inside the block.

    The result is then the same whatever the number of cores, and threads that wait for each other on a busy machine
    do not make a fit of a second take a minute.
    """
    return threadpool_limits(1 if values.size < _SMALL else None, user_api='blas')


class LinearProbe:
    """Multinomial logistic regression with L2 regularisation, on features standardised by their training statistics.

    Args:
        strength: Inverse regularisation strength > 0 (scikit-learn's `C`); smaller regularises more.
        max_iterations: Limit of the L-BFGS solver.
    """

    def __init__(self, strength: float, max_iterations: int) -> None:
        self.strength = strength
        self._model: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=max_iterations))

    def fit(self, values: np.ndarray, labels: np.ndarray) -> LinearProbe:
        """Fit on features (N, D) and classes (N,). The same data give the same probe."""
        with few_threads(values):
            self._model.fit(values, labels)
        return self

    def predict(self, values: np.ndarray) -> np.ndarray:
        """(N, D) features -> (N,) classes."""
        return self._model.predict(values)

    def probabilities(self, values: np.ndarray, num_classes: int) -> np.ndarray:
        """(N, D) features -> (N, num_classes) float64, each row sums to 1; 0 for classes without a training clip."""
        scores = np.zeros((len(values), num_classes))
        scores[:, self._model[-1].classes_] = self._model.predict_proba(values)
        return scores
