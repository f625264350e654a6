"""Logistic regression on features."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


class LinearProbe:
    """Multinomial logistic regression with L2 regularisation, on features standardised by their training statistics.

    Args:
        strength: Inverse regularisation strength > 0 (scikit-learn's `C`); smaller regularises more.
        max_iterations: Limit of the L-BFGS solver.
    """

    def __init__(self, strength: float, max_iterations: int) -> None:
        self.strength = strength
        self._model: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=max_iterations))

    def fit(self, values: np.ndarray, labels: np.ndarray) -> 'LinearProbe':
        """Fit on features (N, D) and classes (N,). The same data give the same probe."""
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
