"""Many linear heads trained as one model: learning rates x weight decays x poolings.

Shape letters: N clips, B clips of a step, D feature width of a pooling, H heads of a pooling, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

_BLOCK_VALUES = 2**26  # logits that are held at a time: 0.25 GB
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Head:
    """One linear head: the features that it reads, and how it learns."""

    pooling: str
    learning_rate: float
    weight_decay: float

    def __str__(self) -> str:
        return f'learning rate {self.learning_rate:g}, weight decay {self.weight_decay:g}, pooling {self.pooling}'


def grid(poolings: Sequence[str], learning_rates: Sequence[float], weight_decays: Sequence[float]) -> list[Head]:
    """Every head of the grid; the first of equal heads counts, so put what you prefer first."""
    return [Head(*one) for one in product(poolings, learning_rates, weight_decays)]


class SweptProbe:
    """Linear heads trained together by SGD: each step reads its clips once for all heads.

    Weights start at zero. All heads see the same batches; the learning rate of each falls to 0 along a half cosine.
    Weight decay is added to the gradient of the weights, not of the biases. A head does not depend on the others.

    Args:
        heads: What to train.
        epochs: Passes over the training clips.
        batch_size: Clips per step; the last step of a pass may have fewer.
        seed: Draws the order of the clips.
    """

    def __init__(self, heads: Sequence[Head], epochs: int, batch_size: int, seed: int) -> None:
        self.heads, self.epochs, self.batch_size, self.seed = list(heads), epochs, batch_size, seed
        self._of = {one.pooling: [h for h in self.heads if h.pooling == one.pooling] for one in self.heads}

    def fit(self, values: Mapping[str, np.ndarray], labels: np.ndarray, num_classes: int) -> SweptProbe:
        """Train on features {pooling: (N, D)}, standardised by their own statistics, and classes (N,)."""
        self._heads = {p: _Heads(heads, values[p], num_classes) for p, heads in self._of.items()}
        truth = torch.as_tensor(np.asarray(labels, np.int64))
        order = torch.Generator().manual_seed(self.seed)
        steps, step = self.epochs * -(-len(truth) // self.batch_size), 0
        for _ in range(self.epochs):
            for batch in torch.randperm(len(truth), generator=order).split(self.batch_size):
                share = 0.5 * (1 + np.cos(np.pi * step / steps))
                for pooling, heads in self._heads.items():
                    heads.step(values[pooling][batch.numpy()], truth[batch], float(share))
                step += 1
        return self

    def accuracies(self, values: Mapping[str, np.ndarray], labels: np.ndarray) -> list[float]:
        """Percent of clips that each head classifies rightly, in the order of `heads`; -1 for one that diverged."""
        truth = torch.as_tensor(np.asarray(labels, np.int64))
        found: dict[Head, float] = {}
        for pooling, heads in self._heads.items():
            right = torch.zeros(len(heads.heads))
            size = max(1, _BLOCK_VALUES // (len(heads.heads) * heads.num_classes))
            for begin in range(0, len(truth), size):
                guess = heads.logits(values[pooling][begin : begin + size]).argmax(dim=2)  # (B, H)
                right += (guess == truth[begin : begin + size, None]).sum(dim=0)
            for place, head in enumerate(heads.heads):
                found[head] = 100 * float(right[place]) / len(truth) if heads.finite(place) else -1.0
        return [found[head] for head in self.heads]

    def probabilities(self, values: Mapping[str, np.ndarray], head: Head) -> np.ndarray:
        """{pooling: (N, D)} -> (N, C) float64 of one head; each row sums to 1."""
        heads = self._heads[head.pooling]
        place = heads.heads.index(head)
        size = max(1, _BLOCK_VALUES // (len(heads.heads) * heads.num_classes))
        parts = [
            heads.logits(values[head.pooling][begin : begin + size])[:, place].double().softmax(dim=1).numpy()
            for begin in range(0, len(values[head.pooling]), size)
        ]
        return np.concatenate(parts)


class _Heads:
    """Heads of one pooling: weights (D, H * C), trained by the gradient of softmax regression, written out."""

    def __init__(self, heads: list[Head], values: np.ndarray, num_classes: int) -> None:
        self.heads, self.num_classes = heads, num_classes
        self._mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = values.std(axis=0, dtype=np.float64).astype(np.float32)
        self._scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
        width = len(heads) * num_classes
        self._weights, self._biases = torch.zeros(values.shape[1], width), torch.zeros(width)
        self._moving = torch.zeros_like(self._weights), torch.zeros_like(self._biases)
        self._rates, self._decays = (
            torch.tensor([getattr(h, name) for h in heads]).repeat_interleave(num_classes)
            for name in ('learning_rate', 'weight_decay')
        )

    def step(self, values: np.ndarray, labels: torch.Tensor, share: float) -> None:
        """One step on B clips, at `share` of each learning rate."""
        inputs = self._standardised(values)
        gradient = torch.addmm(self._biases, inputs, self._weights).unflatten(1, (len(self.heads), self.num_classes))
        gradient = gradient.softmax(dim=2)  # (B, H, C)
        gradient[torch.arange(len(labels)), :, labels] -= 1
        gradient = gradient.flatten(1) / len(labels)
        weights, biases = self._moving
        weights.mul_(_MOMENTUM).addmm_(inputs.T, gradient)
        if self._decays.any():
            weights.addcmul_(self._weights, self._decays)
        biases.mul_(_MOMENTUM).add_(gradient.sum(dim=0))
        self._weights.addcmul_(weights, self._rates, value=-share)
        self._biases.addcmul_(biases, self._rates, value=-share)

    def logits(self, values: np.ndarray) -> torch.Tensor:
        """(B, D) -> (B, H, C)."""
        found = torch.addmm(self._biases, self._standardised(values), self._weights)
        return found.unflatten(1, (len(self.heads), self.num_classes))

    def finite(self, place: int) -> bool:
        """Whether the weights of a head are numbers."""
        part = slice(place * self.num_classes, (place + 1) * self.num_classes)
        return bool(self._weights[:, part].isfinite().all() and self._biases[part].isfinite().all())

    def _standardised(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((np.asarray(values, np.float32) - self._mean) / self._scale)
