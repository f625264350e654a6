"""Nearest neighbours and nearest centroids: probes that train nothing."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

BLOCK_VALUES = 2**27  # similarities that are held at a time: 0.5 GB


class NeighbourProbe:
    """Votes of the k nearest training clips by cosine similarity, each with the weight exp(similarity / temperature).

    Where clips are equally near, the one that comes first in the training list counts. Memory grows with the bank, not
    with the number of queries.

    Args:
        bank: (N, D) features of the training clips.
        labels: (N,) classes.
        num_classes: C.

    Source: Wu et al. (arXiv:1805.01978); SIGMA's settings are k 200 and temperature 0.07.
    """

    def __init__(self, bank: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
        self.bank = F.normalize(torch.as_tensor(bank, dtype=torch.float32), dim=1)
        self.labels, self.num_classes = torch.as_tensor(labels), num_classes

    def scores(self, queries: np.ndarray, k: int, temperature: float) -> np.ndarray:
        """Shares of the vote.

        Args:
            queries: (Q, D) features.
            k: Neighbours, at least 1 and at most N.
            temperature: > 0.

        Returns:
            (Q, C) float64; each row sums to 1.

        Raises:
            ValueError: if k or the temperature is out of range.
        """
        return self.all_scores(queries, [(k, temperature)])[0]

    def all_scores(self, queries: np.ndarray, settings: list[tuple[int, float]]) -> list[np.ndarray]:
        """`scores` of several settings (k, temperature), with one search for all of them."""
        for k, temperature in settings:
            if not 1 <= k <= len(self.bank) or temperature <= 0:
                raise ValueError(
                    f'k is {k} and the temperature {temperature}; k must be 1 to {len(self.bank)}, the clips of the '
                    'bank, and the temperature above 0'
                )
        most = max(k for k, _ in settings)
        found: list[list[np.ndarray]] = [[] for _ in settings]
        size = max(1, BLOCK_VALUES // len(self.bank))
        for begin in range(0, len(queries), size):
            block = F.normalize(torch.as_tensor(queries[begin : begin + size], dtype=torch.float32), dim=1)
            near, index = nearest(block @ self.bank.T, most)
            for parts, (k, temperature) in zip(found, settings):
                parts.append(self._votes(near[:, :k], index[:, :k], temperature))
        return [np.concatenate(parts) if parts else np.zeros((0, self.num_classes)) for parts in found]

    def _votes(self, near: torch.Tensor, index: torch.Tensor, temperature: float) -> np.ndarray:
        weights = torch.softmax(near.double() / temperature, dim=1)  # a common factor cancels in the shares
        votes = torch.zeros(len(near), self.num_classes, dtype=torch.float64)
        return votes.scatter_add_(1, self.labels[index], weights).numpy()


def nearest(similarity: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest values of each row in falling order, and their columns; of equal values the first column counts.

    Args:
        similarity: (Q, N).
        k: 1 to N.

    Returns:
        Values and columns, (Q, k) each.
    """
    values, columns = similarity.topk(min(k + 1, similarity.shape[1]), dim=1)
    doubtful = (values[:, 1:] == values[:, :-1]).any(dim=1)  # topk orders equal values as it likes
    for row in doubtful.nonzero().flatten().tolist():
        order = similarity[row].argsort(descending=True, stable=True)[: values.shape[1]]
        values[row], columns[row] = similarity[row, order], order
    return values[:, :k], columns[:, :k]


class CentroidProbe:
    """The class whose mean training feature is the most similar, by cosine.

    Features are scaled to length 1 before they are averaged.

    Args:
        values: (N, D) features of the training clips.
        labels: (N,) classes.
        num_classes: C; a class without a training clip is never chosen.
    """

    def __init__(self, values: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
        unit = _unit(values)
        self.centroids = np.zeros((num_classes, values.shape[1]))
        np.add.at(self.centroids, labels, unit)
        self.known = np.bincount(labels, minlength=num_classes) > 0

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """(Q, D) features -> (Q, C) cosine similarities; -1 for classes without a training clip."""
        return np.where(self.known, _unit(queries) @ _unit(self.centroids).T, -1.0)


def _unit(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
