"""Label propagation: labels of the first frame are handed on to later frames by the similarity of frozen features.

Shape letters: h, w token grid; D feature width; C labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

CHUNK_ROWS = 4  # rows of the grid whose similarities are held at once


@dataclass(frozen=True)
class Rule:
    """How labels are handed on.

    Attributes:
        context: Number of previous frames used, besides frame 0.
        radius: Reach of the window in tokens.
        circle: Whether distance is Euclidean; otherwise the window is a square of +-`radius`.
        window_on_first: Whether the window also applies to frame 0.
        top: Tokens kept per target token, over all context frames together.
        temperature: Divides the cosine similarity before the softmax.
        edge: Whether a circle includes tokens at exactly `radius`.

    The weights of the kept tokens are a softmax. DINO's exp and division by the sum is the same formula.
    """

    context: int
    radius: int
    circle: bool
    window_on_first: bool
    top: int
    temperature: float
    edge: bool = True


RULES = {
    'dino': Rule(context=7, radius=12, circle=False, window_on_first=True, top=5, temperature=0.1),
    'crw': Rule(context=20, radius=20, circle=True, window_on_first=False, top=7, temperature=0.7, edge=False),
    'dinov3': Rule(context=7, radius=12, circle=True, window_on_first=True, top=5, temperature=0.2),
}


def propagate(features: Iterable[Tensor], labels: Tensor, rule: Rule) -> Iterator[Tensor]:
    """Yield soft labels (h, w, C) of every frame, starting with those given for frame 0.

    Args:
        features: (h, w, D) of each frame in order. Each is read once; `rule.context` + 1 of them are kept.
        labels: (h, w, C) of frame 0.
        rule: How labels are handed on.

    Raises:
        ValueError: if a frame has another grid than the labels.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    for number, frame in enumerate(features):
        if frame.shape[:2] != labels.shape[:2]:
            raise ValueError(f'frame {number} has a grid {tuple(frame.shape[:2])}, labels {tuple(labels.shape[:2])}')
        frame = normalize(frame.float(), dim=-1)
        found = handed_on(frame, kept, rule) if kept else labels.float()
        yield found
        kept.append((frame, found))
        if len(kept) > rule.context + 1:
            del kept[1]  # frame 0 stays


def handed_on(target: Tensor, context: list[tuple[Tensor, Tensor]], rule: Rule) -> Tensor:
    """Soft labels (h, w, C) of a frame from those of its context, frame 0 first. Features (h, w, D) have length 1."""
    height = target.shape[0]
    parts = [_rows(target, context, rule, top, min(top + CHUNK_ROWS, height)) for top in range(0, height, CHUNK_ROWS)]
    return torch.cat(parts)


def _rows(target: Tensor, context: list[tuple[Tensor, Tensor]], rule: Rule, top: int, bottom: int) -> Tensor:
    """Soft labels (bottom - top, w, C) of some rows; similarities are computed with the rows in reach only."""
    height, width = target.shape[:2]
    queries = target[top:bottom].flatten(0, 1)
    scores, labels = [], []
    for number, (features, given) in enumerate(context):
        windowed = number > 0 or rule.window_on_first
        first, last = (max(0, top - rule.radius), min(height, bottom + rule.radius)) if windowed else (0, height)
        score = queries @ features[first:last].flatten(0, 1).T
        if windowed:
            score.masked_fill_(~_in_reach(rule, (top, bottom), (first, last), width), -torch.inf)
        scores.append(score)
        labels.append(given[first:last].flatten(0, 1))
    all_scores = torch.cat(scores, dim=1)
    best, places = all_scores.topk(min(rule.top, all_scores.shape[1]), dim=1)
    weights = (best / rule.temperature).softmax(dim=1)
    found = (weights[..., None] * torch.cat(labels)[places]).sum(dim=1)
    return found.unflatten(0, (bottom - top, width))


def _in_reach(rule: Rule, targets: tuple[int, int], sources: tuple[int, int], width: int) -> Tensor:
    """(target tokens, source tokens) bool: whether a source token lies in the window of a target token."""
    down = (torch.arange(*targets)[:, None] - torch.arange(*sources)).abs()[:, None, :, None]
    across = (torch.arange(width)[:, None] - torch.arange(width)).abs()[None, :, None, :]
    if rule.circle:
        squared = down**2 + across**2
        inside = squared <= rule.radius**2 if rule.edge else squared < rule.radius**2
    else:
        inside = (down <= rule.radius) & (across <= rule.radius)
    return inside.flatten(2, 3).flatten(0, 1)
