"""Changes of frame order: on the source before sampling (benchmark), or on a sampled clip (`clip_...`, diagnostic)."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from eval.corruptions.camera import UCF_P
from eval.corruptions.corruption import CORRUPTIONS, Draws, register, register_order

if TYPE_CHECKING:
    from sigma.video import FrameTimes

OURS = 'no published setting; the levels are ours'
KINETICS_C = 'Mini Kinetics-C, Newbeeyoung/Video-Corruption-Robustness, create_mini_kinetics_c.py'


@register_order(
    (20, 16, 12, 9, 6),
    KINETICS_C,
    shared=None,
    suites={'kinetics-c': (20, 16, 12, 9, 6), 'ssv2-c': (10, 8, 6, 4, 2)},
)
def frame_rate(
    num_frames: int, target_fps: float, draws: Draws, fps: float, times: FrameTimes | None = None
) -> np.ndarray:
    """Lowers the frame rate; level: frames per second. A source with no more than that on average is unchanged.

    Each frame is the one on screen at its time. A source without a constant rate has one afterwards.
    """
    if target_fps >= fps:
        return np.arange(num_frames)
    count = max(1, round(num_frames * target_fps / fps))
    if times is not None and not times.is_constant:
        return times.frame_at(np.arange(count) / target_fps)
    return np.minimum(np.floor(np.arange(count) * fps / target_fps).astype(np.int64), num_frames - 1)


@register_order((2, 4, 8, 16, 32), UCF_P, shared=None, suites=('ucf-p',))
def sampling(num_frames: int, step: int, draws: Draws) -> np.ndarray:
    """Keeps every n-th frame, so the video is shorter; level: n."""
    return np.arange(0, num_frames, step)


@register_order((2, 4, 8, 16, 32), UCF_P, shared=None, suites=('ucf-p',))
def reverse_sampling(num_frames: int, step: int, draws: Draws) -> np.ndarray:
    """Keeps every n-th frame, in reverse order; level: n."""
    return np.arange(0, num_frames, step)[::-1].copy()


def _within_segments(num_frames: int, length: int, draws: Draws) -> np.ndarray:
    rng, order = draws.shared(), np.arange(num_frames)
    for start in range(0, num_frames, length):
        rng.shuffle(order[start : start + length])
    return order


@register_order((32, 16, 8, 4, 2), UCF_P, shared=True, suites=('ucf-p',), monotone=False, name='p-jumble')
def p_jumble(num_frames: int, length: int, draws: Draws) -> np.ndarray:
    """Shuffles within segments; level: published length in frames, so severity 1 shuffles most."""
    return _within_segments(num_frames, length, draws)


@register_order((2, 4, 8, 16, 32), UCF_P + ', levels reversed', shared=True)
def jumble(num_frames: int, length: int, draws: Draws) -> np.ndarray:
    """Shuffles within segments; level: length in frames, which grows with severity."""
    return _within_segments(num_frames, length, draws)


def _blocks(num_frames: int, length: int, draws: Draws) -> np.ndarray:
    starts = draws.shared().permutation(np.arange(0, num_frames, length))
    return np.concatenate([np.arange(start, min(start + length, num_frames)) for start in starts])


@register_order((4, 9, 16, 25, 36), UCF_P, shared=True, suites=('ucf-p',), monotone=False, name='p-box_jumble')
def p_box_jumble(num_frames: int, length: int, draws: Draws) -> np.ndarray:
    """Shuffles whole blocks; level: published length in frames, so severity 1 shuffles most."""
    return _blocks(num_frames, length, draws)


@register_order((36, 25, 16, 9, 4), UCF_P + ', levels reversed', shared=True)
def box_jumble(num_frames: int, length: int, draws: Draws) -> np.ndarray:
    """Shuffles whole blocks; level: length in frames, which shrinks with severity."""
    return _blocks(num_frames, length, draws)


@register_order(
    # (share of frames kept, at least, at most)
    ((0.4, 1, None), (0.2, 1, None), (0.1, 1, None), (0.05, 2, None), (0, 1, 1)),
    UCF_P + '; frames before the first kept one show it too; the published code leaves them out',
    shared=True,
    suites=('ucf-p',),
)
def freeze(num_frames: int, level: tuple, draws: Draws) -> np.ndarray:
    """Keeps random frames and holds each until the next; level: (share kept, at least, at most)."""
    share, least, most = level
    count = min(max(int(share * num_frames), least), num_frames, most or num_frames)
    kept = np.sort(draws.shared().choice(num_frames, count, replace=False))
    return kept[np.maximum(np.searchsorted(kept, np.arange(num_frames), side='right') - 1, 0)]


@register_order((0.1, 0.25, 0.5, 0.75, 0.9), OURS, shared=True)
def frame_drop(num_frames: int, share: float, draws: Draws) -> np.ndarray:
    """Drops random frames, so the video is shorter; level: share of frames dropped."""
    count = max(1, round(num_frames * (1 - share)))
    return np.sort(draws.shared().choice(num_frames, count, replace=False))


@register_order((None,), 'time-awareness test; it has one strength', shared=None)
def reverse(num_frames: int, level: None, draws: Draws) -> np.ndarray:
    """Plays backwards. On SSv2 this changes some labels: read the difference to normal order, not the accuracy."""
    return np.arange(num_frames)[::-1].copy()


@register_order((None,), 'time-awareness test; it has one strength', shared=True)
def shuffle(num_frames: int, level: None, draws: Draws) -> np.ndarray:
    """All frames in random order."""
    return draws.shared().permutation(num_frames)


def clip_order(order: np.ndarray, num_frames: int) -> np.ndarray:
    """An order stretched to `num_frames` by holding frames, as a clip cannot become shorter."""
    return order[np.arange(num_frames) * len(order) // num_frames]


def _register_on_clips() -> None:
    """Each order as a diagnostic on sampled clips. Not `frame_rate`: a clip has no frames a second."""
    for corruption in [c for c in CORRUPTIONS.values() if c.acts_on == 'order' and c.name != 'frame_rate']:

        @wraps(corruption.function)
        def on_clip(frames: np.ndarray, level, draws: Draws, _order=corruption.function) -> np.ndarray:
            return frames[clip_order(_order(len(frames), level, draws), len(frames))]

        register(
            'temporal',
            corruption.levels,
            corruption.source + '; diagnostic on the sampled clip, not the benchmark',
            shared=corruption.shared,
            acts_on='clip',
            monotone=corruption.monotone,
            name=f'clip_{corruption.name}',
        )(on_clip)


_register_on_clips()
