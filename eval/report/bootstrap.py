"""Scores of resampled test videos: what a bootstrap of a score that is not a share needs. No torch.

Shape letters: S seeds, N videos, B resamples, R rounds that have a score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

# Every round scores all videos again. The ends of an interval are then known to about 2 % of its width.
NUM_RESCORED = 1_000

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


def scores_of(scorers: Sequence[Scorer], num_videos: int) -> np.ndarray:
    """(S,) scores on the videos themselves."""
    check_numbers(len(scorers), num_videos)
    once = np.ones((num_videos, 1))
    scores = np.array([float(scorer(once)[0]) for scorer in scorers])
    refuse_infinite(scores, 'scores of seeds')
    return scores


def rescored(scorers: Sequence[Scorer], num_videos: int, num_resamples: int = NUM_RESCORED) -> np.ndarray:
    """(S, R) scores of every seed in every round; all score the same draws of videos, none has no score.

    Raises:
        ValueError: if fewer than two rounds have a score.
    """
    if num_resamples < 2:
        raise ValueError(f'{num_resamples} resamples were asked for; a bootstrap needs 2 or more')
    rng = np.random.default_rng(0)
    step = max(1, 120_000 // num_videos)  # pieces fit in a cache, since each is gathered once per class
    rounds: list[np.ndarray] = []
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        drawn = rng.integers(0, num_videos, (num_videos, size)) * size + np.arange(size)
        counts = np.bincount(drawn.ravel(), minlength=num_videos * size)
        weights = counts.reshape(num_videos, size).astype(np.float32)
        rounds.append(np.stack([np.asarray(scorer(weights), dtype=float) for scorer in scorers]))
    scores = np.concatenate(rounds, axis=1)
    defined = np.isfinite(scores).all(axis=0)
    if not defined.any():
        raise ValueError(f'none of {num_resamples} draws of {num_videos} videos has a score, so there is no interval')
    return scores[:, defined]


def covariance_of_rounds(rounds: np.ndarray, num_videos: int) -> np.ndarray:
    """(S, S) covariance of the seeds over the rounds, of N - 1 free videos."""
    around = rounds - rounds.mean(axis=1, keepdims=True)
    return around @ around.T / rounds.shape[1] * num_videos / (num_videos - 1)


def check_numbers(num_seeds: int, num_videos: int) -> None:
    if num_seeds == 0 or num_videos < 1 or num_videos % 1:
        raise ValueError(f'{num_seeds} seeds and {num_videos} videos; an interval needs a whole number of each, from 1')


def refuse_infinite(values: np.ndarray, name: str) -> None:
    broken = ~np.isfinite(values)
    if broken.any():
        raise ValueError(f'{int(broken.sum())} of {len(values)} {name} are not finite, first {int(broken.argmax())}')
