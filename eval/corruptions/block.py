"""A contiguous block of damaged frames in the middle of each action (THUMOS14-C, ActivityNet-v1.3-C).

The levels are the length of the block, as a share of the action; severities 1 to 3, not 5. `actions` gives (first,
last + 1) frames of each action; without it all frames are one. Videos that are too long to be held whole are damaged
frame by frame: `damaged_frames` says which, `damage_frame` damages one among its neighbours, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

import cv2
import numpy as np

from eval.corruptions.blur import motion_blurred
from eval.corruptions.corruption import Draws, register

TAL_C = 'THUMOS14-C, Alvin-Zeng/temporal-robustness-benchmark, extract_corrupted_feature_code'
LENGTHS = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class Damage:
    """What is done to one frame: `function(frames, t, draws)`, which looks `reach` frames back and ahead at most."""

    function: Callable
    reach: int


DAMAGES: dict[str, Damage] = {}


def block_of(first: int, end: int, share: float) -> range:
    """Frames around the middle of first .. end - 1 that make up a share of them, both ends included as published.

    So 10 percent of 100 frames are 11; and at least one frame is damaged.
    """
    middle, half = (first + end) / 2, share * (end - first) / 2
    low, high = int(middle - half + 0.5), int(middle + half + 0.5)
    return range(min(low, end - 1), min(high, end - 1) + 1)


def damaged_frames(num_frames: int, share: float, actions: Sequence[tuple[int, int]] | None) -> list[int]:
    """Frames of all blocks, in order.

    Raises:
        ValueError: if an action is not (first, last + 1) within the video.
    """
    actions = [(0, num_frames)] if actions is None else [tuple(action) for action in actions]
    for action in actions:
        if len(action) != 2 or not 0 <= action[0] < action[1] <= num_frames:
            raise ValueError(
                f'action {action} is not (first, last + 1) within {num_frames} frames; give frames, not seconds'
            )
    return sorted({t for first, end in actions for t in block_of(first, end, share)})


def damage_frame(
    name: str, frames: np.ndarray, t: int, severity: int, video: str, frame_numbers: Sequence[int] | None = None
) -> np.ndarray:
    """The t-th of the given frames, damaged as it would be among all frames of its video.

    Args:
        name: Of a corruption of tal-c.
        frames: (n, H, W, 3) uint8: with the frame, as many before and after it as `DAMAGES[name].reach` says, fewer
            only where the video ends.
        frame_numbers: n numbers of the frames in the source; 0 to n - 1 by default.
    """
    numbers = np.arange(len(frames)) if frame_numbers is None else np.asarray(frame_numbers)
    return DAMAGES[name].function(frames, t, Draws(name, severity, video, numbers))


def _on_block(name: str, family: str, note: str, shared: bool | None, reach: int = 0) -> Callable:
    """Registers a function `(frames, t, draws) -> frame` that damages one frame."""

    def enter(damage: Callable) -> Callable:
        DAMAGES[name] = Damage(damage, reach)

        @wraps(damage, assigned=('__doc__', '__name__', '__module__'), updated=())
        def on_block(frames: np.ndarray, share: float, draws: Draws, actions=None) -> np.ndarray:
            out = frames.copy()
            for t in damaged_frames(len(frames), share, actions):
                out[t] = damage(frames, t, draws)
            return out

        del on_block.__wrapped__  # its own signature tells that it takes actions
        return register(family, LENGTHS, TAL_C + note, shared=shared, suites=('tal-c',), acts_on='video', name=name)(
            on_block
        )

    return enter


@_on_block('tal_black_frame', 'camera', '', shared=None)
def black_frame(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Blackens the block."""
    return np.zeros_like(frames[t])


@_on_block('tal_motion_blur', 'blur', '', shared=False)
def block_motion_blur(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Motion blur of ImageNet-C's severity 5 on the block."""
    return motion_blurred(frames[t], 20, 15, draws.frame(t).uniform(-45, 45))


@_on_block('tal_overexposure', 'camera', '; +100 as for I3D features, the code for VideoMAE v2 adds 180', shared=None)
def overexposure(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Adds 100 to every value of the block."""
    return cv2.add(frames[t], (100, 100, 100, 0))


@_on_block(
    'tal_occlusion_procedural', 'camera', '; a drawn shape where the published code pastes a picture', shared=None
)
def occlusion(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Covers the lower left of the block with a dark shape, then a median filter of 7 pixels.

    Not the published occlusion, whose picture of a hand is not ours to ship; the place and the filter are as there.
    """
    height, width = frames.shape[1:3]
    side, out = round(min(height, width) / 1.1), frames[t].copy()
    # A finger from the lower left corner: a thick line with a round end.
    cv2.line(out, (0, height - 1), (side // 2, height - 1 - side // 2), (70, 48, 38), thickness=side // 3)
    return cv2.medianBlur(out, 7)


@_on_block('tal_packet_loss', 'digital', '; an imitation on pixels there too, no stream is cut', shared=False, reach=30)
def block_packet_loss(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Strips from frames 30 earlier and later, and 2000 smeared squares, on the block."""
    height, width = frames.shape[1:3]
    rng, out = draws.frame(t), frames[t].copy()
    earlier, later = frames[max(0, t - 30)], frames[min(len(frames) - 1, t + 30)]
    for other in (later, earlier) * 10:
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        # The published sizes follow from the place: 10 to 24 rows, 150 to 199 columns.
        strip = np.s_[y : y + y % 15 + 10, x : x + x % 50 + 150]
        out[strip] = other[strip]
    before = out.copy()
    for y, x in zip(rng.integers(1, height - 1, 2000), rng.integers(1, width - 1, 2000)):
        out[y : y + y % 10, x : x + x % 10] = before[y, x]
    return out
