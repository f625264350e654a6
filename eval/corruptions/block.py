"""A block of damaged frames in the middle of each action (THUMOS14-C, ActivityNet-v1.3-C).

The level is the length of the block as a share of the action: 0.01, 0.05, 0.10, so there are three severities.
`actions` gives the (first, last + 1) frames of each action; without it, all frames are one action. Videos too long for
memory are damaged frame by frame with the same result: `damaged_frames` lists the frames, `damage_frame` damages one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

import cv2
import numpy as np

from eval.corruptions.blur import motion_blurred
from eval.corruptions.corruption import Draws, register, to_bytes
from sigma.errors import DataError

TAL_C = 'THUMOS14-C, Alvin-Zeng/temporal-robustness-benchmark, extract_corrupted_feature_code'
LENGTHS = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class Damage:
    """Damage to one frame: `function(frames, t, draws)`, which looks at most `reach` frames back and ahead."""

    function: Callable
    reach: int


DAMAGES: dict[str, Damage] = {}


def block_of(first: int, end: int, share: float) -> range:
    """The middle share of the frames first to end - 1, at least one frame.

    Both ends are included, as published: 10 percent of 100 frames are 11.
    """
    middle, half = (first + end) / 2, share * (end - first) / 2
    low, high = int(middle - half + 0.5), int(middle + half + 0.5)
    return range(min(low, end - 1), min(high, end - 1) + 1)


def damaged_frames(num_frames: int, share: float, actions: Sequence[tuple[int, int]] | None) -> list[int]:
    """Frames of the blocks of all actions, in order.

    Args:
        num_frames: Number of frames of the video.
        share: Length of a block as a share of its action, in (0, 1].
        actions: (first, last + 1) frames of each action; None takes all frames as one.

    Raises:
        DataError: if an action is not (first, last + 1) within the video.
    """
    actions = [(0, num_frames)] if actions is None else actions
    for action in actions:
        if len(action) != 2 or not 0 <= action[0] < action[1] <= num_frames:
            raise DataError(
                f'action {tuple(action)} is not (first, last + 1) within {num_frames} frames; give frames, not seconds'
            )
    return sorted({t for first, end in actions for t in block_of(first, end, share)})


def damage_frame(
    name: str, frames: np.ndarray, t: int, severity: int, video: str, frame_numbers: Sequence[int] | None = None
) -> np.ndarray:
    """Damage the t-th of the given frames, with the same result as within the whole video.

    Args:
        name: Name of a corruption of tal-c.
        frames: (n, H, W, 3) uint8: the frame and `DAMAGES[name].reach` frames before and after it; fewer only at the
            ends of the video.
        t: Index of the frame to damage.
        severity: 1 to 3. It decides the random draws.
        video: Name of the video.
        frame_numbers: (n,) numbers of the frames in the source (default: 0 to n - 1).

    Returns:
        (H, W, 3) uint8.
    """
    numbers = np.arange(len(frames)) if frame_numbers is None else np.asarray(frame_numbers)
    return DAMAGES[name].function(frames, t, Draws(name, severity, video, numbers))


def _on_block(name: str, family: str, note: str, shared: bool | None, reach: int = 0, version: int = 1) -> Callable:
    """Decorator that registers a function `(frames, t, draws) -> frame`, which damages one frame."""

    def enter(damage: Callable) -> Callable:
        DAMAGES[name] = Damage(damage, reach)

        @wraps(damage, assigned=('__doc__', '__name__', '__module__'), updated=())
        def on_block(frames: np.ndarray, share: float, draws: Draws, actions=None) -> np.ndarray:
            out = frames.copy()
            for t in damaged_frames(len(frames), share, actions):
                out[t] = damage(frames, t, draws)
            return out

        del on_block.__wrapped__  # so that its signature shows the parameter `actions`
        return register(
            family,
            LENGTHS,
            TAL_C + note,
            shared=shared,
            suites=('tal-c',),
            acts_on='video',
            name=name,
            version=version,
        )(on_block)

    return enter


@_on_block('tal_black_frame', 'camera', '', shared=None)
def black_frame(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Black frames in the block."""
    return np.zeros_like(frames[t])


@_on_block('tal_motion_blur', 'blur', '; there a frame passes through a JPEG of quality 95 first', shared=False)
def block_motion_blur(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Motion blur in the block, as at severity 5 of ImageNet-C: radius 20, sigma 15 pixels."""
    return motion_blurred(frames[t], 20, 15, draws.frame(t).uniform(-45, 45))


@_on_block(
    'tal_overexposure',
    'camera',
    '; as for I3D features; the code for VideoMAE v2 adds 180 without stretching',
    shared=None,
    version=2,  # 2026-11-30: a frame is stretched first, as published
)
def overexposure(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """Adds 100 of 255 in the block, after stretching a frame so that its brightest value is 255; then back.

    So a frame with the maximum m gains 100 m / 255, and nothing gets brighter than m: 50 if m is 128.
    """
    brightest = int(frames[t].max())
    return to_bytes(np.minimum(frames[t] + np.float32(100 * brightest / 255), brightest))


@_on_block(
    'tal_occlusion_procedural', 'camera', '; a drawn shape where the published code pastes a picture', shared=None
)
def occlusion(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """A dark shape covers the lower left of the frames in the block, then a median filter of 7 pixels.

    Not the published occlusion: it pastes a picture of a hand, which we may not ship. Place and filter are the same.
    """
    height, width = frames.shape[1:3]
    side, out = round(min(height, width) / 1.1), frames[t].copy()
    # A finger from the lower left corner: a thick line with a round end.
    cv2.line(out, (0, height - 1), (side // 2, height - 1 - side // 2), (70, 48, 38), thickness=side // 3)
    return cv2.medianBlur(out, 7)


@_on_block('tal_packet_loss', 'digital', '; an imitation on pixels there too, no stream is cut', shared=False, reach=30)
def block_packet_loss(frames: np.ndarray, t: int, draws: Draws) -> np.ndarray:
    """In the block: 20 strips from frames 30 earlier and later, and 2000 smeared squares of up to 9 pixels."""
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
