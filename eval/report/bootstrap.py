"""Scores of resampled test videos: what a bootstrap of a score that is not a share needs. No torch.

Shape letters: S seeds, N videos, B resamples, R rounds that have a score, G groups of videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# Every round scores all videos again. The ends of an interval are then known to about 2 % of its width.
NUM_RESCORED = 1_000
# Groups of videos that the jackknife leaves out in turn; up to this many videos, each is a group.
NUM_LEFT_OUT = 500

# weights (N, B): how often each resample contains each video -> (B,) scores
Scorer = Callable[[np.ndarray], np.ndarray]


class MeanScorer:
    """A scorer that takes the weighted mean of (N,) values.

    Raises:
        ValueError: if there is no value, or one is not finite.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.asarray(values, dtype=float)
        if self.values.ndim != 1 or self.values.size == 0:
            raise ValueError(f'values have shape {self.values.shape}; need one per video, (N,)')
        refuse_infinite(self.values, 'values of videos')

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return self.values @ weights / weights.sum(axis=0)


mean_scorer = MeanScorer


class Draws(NamedTuple):
    """Scores in the same resamples of the videos for all seeds (`rescored`)."""

    rounds: np.ndarray  # (S, R) scores of draws with replacement
    left_out: np.ndarray | None  # (S, G) scores without one group of videos; None where the rounds say enough
    num_videos: int

    @property
    def covariance(self) -> np.ndarray:
        """(S, S) covariance of the seeds over other draws of N videos.

        For means (`MeanScorer`) it is that of the rounds, times N / (N - 1). An average precision ranks all videos
        together, and copies of a video enter its curve together, so that the rounds vary less than new videos would.
        Its covariance is the jackknife's, which is not too small on average (Efron and Stein 1981).
        """
        if self.left_out is None:
            return _products(self.rounds) / self.rounds.shape[1] * self.num_videos / (self.num_videos - 1)
        num_groups = self.left_out.shape[1]
        return _products(self.left_out) * (num_groups - 1) / num_groups


def side_by_side(parts: Sequence[Draws]) -> Draws:
    """Draws of several rows that scored the same videos, as those of one row with all of their seeds."""

    def joined(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([array[:, : min(array.shape[1] for array in arrays)] for array in arrays])

    left_out = [part.left_out for part in parts if part.left_out is not None]
    return Draws(
        joined([part.rounds for part in parts]),
        joined(left_out) if len(left_out) == len(parts) else None,
        parts[0].num_videos,
    )


def scores_of(scorers: Sequence[Scorer], num_videos: int) -> np.ndarray:
    """(S,) scores on the videos themselves."""
    check_numbers(len(scorers), num_videos)
    once = np.ones((num_videos, 1))
    scores = np.array([float(scorer(once)[0]) for scorer in scorers])
    refuse_infinite(scores, 'scores of seeds')
    return scores


def rescored(scorers: Sequence[Scorer], num_videos: int, num_resamples: int = NUM_RESCORED) -> Draws:
    """Scores of every seed in resamples; all score the same ones, and those without a score are dropped.

    Raises:
        ValueError: if fewer than two rounds have a score.
    """
    if num_resamples < 2:
        raise ValueError(f'{num_resamples} resamples were asked for; a bootstrap needs 2 or more')
    rng = np.random.default_rng(0)
    step = _in_a_cache(num_videos)
    found: list[np.ndarray] = []
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        drawn = rng.integers(0, num_videos, (num_videos, size)) * size + np.arange(size)
        counts = np.bincount(drawn.ravel(), minlength=num_videos * size)
        found.append(_scored(scorers, counts.reshape(num_videos, size)))
    rounds = _defined(found)
    if not rounds.shape[1]:
        raise ValueError(f'none of {num_resamples} draws of {num_videos} videos has a score, so there is no interval')
    left_out = None if all(isinstance(each, MeanScorer) for each in scorers) else _without_one(scorers, num_videos)
    return Draws(rounds, left_out, num_videos)


def _without_one(scorers: Sequence[Scorer], num_videos: int) -> np.ndarray | None:
    """(S, G) scores without each of up to `NUM_LEFT_OUT` groups of videos; None if fewer than two are defined."""
    num_groups = min(num_videos, NUM_LEFT_OUT)
    group = np.arange(num_videos)[:, None] % num_groups
    step = _in_a_cache(num_videos)
    starts = range(0, num_groups, step)
    found = [_scored(scorers, group != np.arange(start, min(start + step, num_groups))) for start in starts]
    scores = _defined(found)
    return scores if scores.shape[1] > 1 else None


def _in_a_cache(num_videos: int) -> int:
    """How many resamples to score at once: they fit in a cache, since each is gathered once per class."""
    return max(1, 120_000 // num_videos)


def _scored(scorers: Sequence[Scorer], weights: np.ndarray) -> np.ndarray:
    """(S, B) scores of (N, B) weights."""
    weights = weights.astype(np.float32)
    return np.stack([np.asarray(scorer(weights), dtype=float) for scorer in scorers])


def _defined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts side by side, without resamples in which a seed has no score."""
    scores = np.concatenate(parts, axis=1)
    return scores[:, np.isfinite(scores).all(axis=0)]


def _products(values: np.ndarray) -> np.ndarray:
    """(S, S) sums of the products of (S, R) values around their means."""
    around = values - values.mean(axis=1, keepdims=True)
    return around @ around.T


def check_numbers(num_seeds: int, num_videos: int) -> None:
    if num_seeds == 0 or num_videos < 1 or num_videos % 1:
        raise ValueError(f'{num_seeds} seeds and {num_videos} videos; an interval needs a whole number of each, from 1')


def refuse_infinite(values: np.ndarray, name: str) -> None:
    broken = ~np.isfinite(values)
    if broken.any():
        raise ValueError(f'{int(broken.sum())} of {len(values)} {name} are not finite, first {int(broken.argmax())}')
