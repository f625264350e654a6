"""Counting by localising cycles: the head that SEVERE counts with, on any encoder.

A place in a video is a state (left, middle, right): the previous cycle is thought to be the frames left..middle, the
next one middle+1..right. A network sees both with their context, says for seven lengths relative to the present ones
whether they are right and how to correct them, and the answers are applied until the lengths settle.

Source: Zhang et al., Context-aware and scale-insensitive temporal repetition counting, CVPR 2020, as SEVERE
(ECCV 2022) uses it with other backbones. Written anew from its description. Where that leaves things open, or we
depart from the published code, the docstrings say so.

Shape letters: N states, A anchors, B videos.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ANCHORS = (0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0)  # new length over present length
SAME = ANCHORS.index(1.0)
LEAST_IOU = 0.5  # of an anchor and the true cycle
BOX_WEIGHT = 50.0
LEAST_FRAMES = 4  # of a cycle
WINDOW_FRAMES = 16  # sampled from the previous and from the next window
CONTEXT_BEFORE, CONTEXT_AFTER = 1.0, 2.0  # lengths before the previous cycle; lengths the next window has in all

NUM_INITIAL, SHORTEST, LONGEST = 30, 0.03, 0.35  # initial lengths, as shares of the video
NUM_REFINEMENTS = 4
NUM_LEVELS, NUM_POSITIONS = 5, 32
LEVEL_ITERATIONS = {1: 4, 2: 2, 3: 1, 4: 1}
MERGE_WEIGHT = 0.5
CLAMP_TEST, CLAMP_TRAIN = 0.5, 2.0  # of predicted log lengths

# states (N, 3) -> probabilities (N, 2, A) that an anchor is right, log corrections (N, 2, A); previous, next
Regressor = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


# --- labels ---------------------------------------------------------------------------------------------------------


def neighbour_lengths(boundaries: np.ndarray, num_frames: int, first_frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Length of the cycle that begins at every frame, and of the one that ends at every frame.

    Time is stretched so that every cycle has length 1 (linear between boundaries); a frame's next cycle ends, and its
    previous cycle begins, one such unit away.

    Args:
        boundaries: (K + 1,) rising frame numbers.
        num_frames: Lengths are given for `first_frame` .. `first_frame + num_frames - 1`.

    Returns:
        next, previous: (num_frames,) frames; NaN where there is no whole such cycle, and where it lies in two cycles
        whose lengths differ by more than 2 frames and more than 1.3 times. For one cycle all is NaN but its end.

    Source: the published annotations of UCFRep hold these lengths, rounded; a test compares.
    """
    boundaries = np.asarray(boundaries, dtype=np.float64)
    phases, lengths = np.arange(len(boundaries), dtype=np.float64), np.diff(boundaries)
    frames = first_frame + np.arange(num_frames, dtype=np.float64)
    phase = np.interp(frames, boundaries, phases)
    number = np.clip(np.floor(phase).astype(int), 0, len(lengths) - 1)  # the cycle that a frame is in
    mixed = _unlike(lengths[:-1], lengths[1:])  # cycle i and cycle i + 1
    inside = (frames >= boundaries[0]) & (frames <= boundaries[-1])

    following = np.interp(phase + 1, phases, boundaries) - frames
    whole = inside & (frames < boundaries[-2])
    following[~whole | _at(mixed, number)] = np.nan

    previous = frames - np.interp(phase - 1, phases, boundaries)
    whole = inside & (frames >= boundaries[1])
    previous[~whole | _at(mixed, number - 1)] = np.nan
    return following, previous


def _unlike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    shorter, longer = np.minimum(one, other), np.maximum(one, other)
    return (longer - shorter > 2) & (longer > 1.3 * shorter)


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """values[places], False where a place is outside."""
    inside = (places >= 0) & (places < len(values))
    return np.where(inside, np.append(values, False)[np.where(inside, places, len(values))], False)


def match_anchors(true_length: np.ndarray, present_length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the network should say of each anchor.

    Args:
        true_length: (...,) frames; NaN where not known.
        present_length: (...,) frames that the state has now.

    Returns:
        classes: (..., A) int64: 1 where the shorter of anchor and cycle is at least half of the longer (their IoU, as
            both begin at the same frame), 0 where not, -1 where the length is not known.
        offsets: (..., A) log(true / anchor length) of the positive anchors, NaN elsewhere.
    """
    anchors = np.asarray(present_length, dtype=np.float64)[..., None] * np.asarray(ANCHORS)
    true = np.asarray(true_length, dtype=np.float64)[..., None]
    known = np.isfinite(true) & np.isfinite(anchors)
    with np.errstate(invalid='ignore'):
        positive = np.minimum(true, anchors) / np.maximum(true, anchors) >= LEAST_IOU
        offsets = np.where(positive & known, np.log(true / anchors), np.nan)
    return np.where(known, positive.astype(np.int64), -1), offsets


# --- the network ----------------------------------------------------------------------------------------------------


def window_frames(states: np.ndarray, per_window: int = WINDOW_FRAMES) -> np.ndarray:
    """(N, 2, per_window) frame numbers of the previous and the next window of states (N, 3), evenly spread.

    The previous window begins one length before the previous cycle and ends at `middle`; the next one begins after
    `middle` and is twice as long as the next cycle. Numbers outside the video stand for padding.
    """
    left, middle, right = np.asarray(states, dtype=np.float64).T
    begin = np.stack([left - (middle - left + 1) * CONTEXT_BEFORE, middle + 1], axis=1).round()
    end = np.stack([middle, right + (right - middle) * (CONTEXT_AFTER - 1)], axis=1).round()
    spacing = (end - begin + 1) / (per_window - 1)
    places = np.rint(begin[..., None] - 0.5 + spacing[..., None] * np.arange(per_window))
    return np.clip(places, begin[..., None], end[..., None]).astype(np.int64)


class CycleHead(nn.Module):
    """For each of two rows of features: whether each anchor is right (2 x A), and its correction (A).

    Args:
        in_channels: Features of one window: time steps x width, time kept.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.classify = nn.ModuleList([nn.Linear(in_channels, 2 * len(ANCHORS)) for _ in range(2)])
        self.correct = nn.ModuleList([nn.Linear(in_channels, len(ANCHORS)) for _ in range(2)])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 2, T'' * D) -> logits (N, 2, 2, A), wrong or right, and log corrections (N, 2, A)."""
        sides = features.unbind(dim=1)
        logits = [layer(side).unflatten(-1, (2, -1)) for layer, side in zip(self.classify, sides)]
        return torch.stack(logits, dim=1), torch.stack([layer(side) for layer, side in zip(self.correct, sides)], dim=1)


class CycleNetwork(nn.Module):
    """An encoder on both windows of a state, and `CycleHead`.

    An encoder of 32 frames sees both windows as one clip, as published, and the two halves of its time steps go to
    the two heads. Any other sees each window as a clip of its own, of as many frames as it takes (ours; 16 frames of
    a video transformer are the published 16). Tokens are averaged over space.

    Args:
        encoder: (B, 3, T, H, W) -> (B, T', H', W', D).
        num_frames, size: T, and H = W.
        mean, std: Of its input; frames outside the video become the mean.
    """

    def __init__(self, encoder: nn.Module, num_frames: int, size: int, mean: tuple, std: tuple) -> None:
        super().__init__()
        self.encoder = encoder
        self.joint = num_frames == 2 * WINDOW_FRAMES
        self.per_window = WINDOW_FRAMES if self.joint else num_frames
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1, 1), persistent=False)
        with torch.no_grad():
            width = self._features(torch.zeros(1, 2, 3, self.per_window, size, size)).shape[-1]
        self.head = CycleHead(width)

    def forward(self, windows: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (N, 2, 3, T, H, W) of values 0 to 255, and which frames (N, 2, T) the video has; as `CycleHead`."""
        clips = (windows.float() - self.mean) / self.std
        return self.head(self._features(clips * inside[:, :, None, :, None, None]))

    def _features(self, clips: Tensor) -> Tensor:
        if self.joint:
            tokens = self.encoder(clips.transpose(1, 2).flatten(2, 3)).float().mean(dim=(2, 3))  # (N, T', D)
            half = tokens.shape[1] // 2
            if half < 1:
                raise ValueError(
                    'An encoder of 32 frames with one time step has no halves for two heads; give it 16 frames.'
                )
            return torch.stack([tokens[:, :half].flatten(1), tokens[:, -half:].flatten(1)], dim=1)
        tokens = self.encoder(clips.flatten(0, 1)).float().mean(dim=(2, 3)).flatten(1)  # (N * 2, T' * D)
        return tokens.unflatten(0, (-1, 2))


def cut_windows(frames: Tensor, states: np.ndarray, per_window: int) -> tuple[Tensor, Tensor]:
    """Windows (N, 2, 3, T, H, W) of one video's frames (n, H, W, 3), and which of them (N, 2, T) it has."""
    places = torch.from_numpy(window_frames(states, per_window)).to(frames.device)
    inside = (places >= 0) & (places < len(frames))
    return frames[places.clamp(0, len(frames) - 1)].permute(0, 1, 5, 2, 3, 4), inside


def cycle_loss(logits: Tensor, corrections: Tensor, classes: Tensor, offsets: Tensor) -> Tensor:
    """Cross-entropy of the anchors plus 50 times smooth L1 of the corrections, each summed over both directions.

    Args:
        logits: (N, 2, 2, A). classes: (N, 2, A), -1 not counted.
        corrections: (N, 2, A). offsets: (N, 2, A), NaN not counted, which lowers the mean: it is over all N * A.

    A batch without a known anchor has cross-entropy 0 (the published code would give NaN).
    """
    total = corrections.new_zeros(())
    for side in range(2):
        entropy = F.cross_entropy(logits[:, side], classes[:, side], ignore_index=-1, reduction='sum')
        total = total + entropy / (classes[:, side] >= 0).sum().clamp(min=1)
        known = offsets[:, side].isfinite()
        wanted = torch.where(known, offsets[:, side].nan_to_num(), corrections[:, side].detach())
        total = total + BOX_WEIGHT * F.smooth_l1_loss(corrections[:, side], wanted)
    return total


# --- counting ------------------------------------------------------------------------------------------------------


def count_cycles(regress: Regressor, num_frames: int, min_cycles: int = 2) -> float:
    """Number of cycles in a video, a whole number.

    1. At the middle of the video, 30 initial lengths between 3 % and 35 % of it; the one whose own length the network
       thinks right with the highest probability is taken, corrected, and corrected 4 times more, with weight 0.5.
    2. At 32 positions from begin to end, that length is refined from coarse to fine (`_refine`).
    3. The count is num_frames times the mean of 1 / length, over the positions whose windows lie inside the video and
       over previous and next cycle.

    Args:
        regress: The network on states (N, 3), which have fractions and may reach beyond the video.
        num_frames: Of the video.
        min_cycles: No length is more than `num_frames / min_cycles`. Published: 2 (UCFRep), 4 (QUVA).

    Our choices: where no initial length is allowed, `num_frames / min_cycles` is the length, at least 4 frames. And
    lengths and places keep their fractions; the published code cuts them to whole frames at every turn, so that even
    a network without error miscounts short cycles.
    """
    length = _first_length(regress, num_frames, min_cycles)
    middles = np.floor(num_frames / (NUM_POSITIONS + 1) * (np.arange(NUM_POSITIONS) + 0.5))
    before, after = _refine(regress, middles, length, num_frames, min_cycles)
    left, right = middles + before, middles + after
    previous, following = middles - left + 1, right - middles
    begin, end = np.trunc(left - previous * CONTEXT_BEFORE), np.trunc(right + following * (CONTEXT_AFTER - 1))
    seen = (begin >= 0) & (end < num_frames) & (previous > 0) & (following > 0)
    if not seen.any():
        return float(np.rint(num_frames / (length + 1)))
    return float(np.rint(num_frames * np.mean(0.5 / previous[seen] + 0.5 / following[seen])))


def _first_length(regress: Regressor, num_frames: int, min_cycles: int) -> float:
    middle, longest = num_frames / 2, num_frames / min_cycles

    def corrected(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        states = np.stack([middle - lengths, np.full_like(lengths, middle), middle + lengths + 1], axis=1)
        right, corrections = regress(states)
        new = lengths * np.exp(np.clip(corrections[:, 0, SAME], -CLAMP_TEST, CLAMP_TEST))
        return right[:, 0, SAME], np.where((new >= LEAST_FRAMES) & (new < longest), new, np.nan)

    shares = SHORTEST * (LONGEST / SHORTEST) ** (np.arange(NUM_INITIAL) / (NUM_INITIAL - 1))
    right, lengths = corrected(num_frames * shares)
    if np.isnan(lengths).all():
        return max(LEAST_FRAMES, longest)
    length = float(lengths[np.argmax(np.where(np.isnan(lengths), -np.inf, right))])
    for _ in range(NUM_REFINEMENTS):
        new = corrected(np.array([length]))[1][0]
        if np.isfinite(new):
            length = float((1 - MERGE_WEIGHT) * length + MERGE_WEIGHT * new)
    return length


def _refine(
    regress: Regressor, middles: np.ndarray, length: float, num_frames: int, min_cycles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where cycles begin and end around each position, relative to it, from coarse to fine.

    On level l (1 to 4), 2^l positions are corrected (4, 2, 1, 1 times), and each hands its result to the positions
    around it, each answer counting half beside what it corrects. A position holds an estimate from its left and one
    from its right, and goes on from their mean. On level 3 the one of the far side stays as it was, so that a position
    between two corrected ones takes half of each; on the others both are new.
    """
    before, after = np.full((2, len(middles)), -length), np.full((2, len(middles)), length + 1)  # (left, right) halves
    for level in range(1, NUM_LEVELS):
        reach = 2 ** (NUM_LEVELS - level - 1)
        chosen = np.arange(reach, len(middles), 2 * reach)
        places = middles[chosen]
        left, right = places + before[:, chosen].mean(0), places + after[:, chosen].mean(0)
        for _ in range(LEVEL_ITERATIONS[level]):
            new_left, new_right = _step(regress, left, places, right, num_frames / min_cycles)
            left = MERGE_WEIGHT * new_left + (1 - MERGE_WEIGHT) * left
            right = MERGE_WEIGHT * new_right + (1 - MERGE_WEIGHT) * right
        left, right = left - places, right - places
        both = level <= 2 or level == NUM_LEVELS - 1
        for number, place in enumerate(chosen):
            earlier, later = slice(place - reach, place), slice(place, place + reach)
            before[1, earlier], after[1, earlier] = left[number], right[number]
            before[0, later], after[0, later] = left[number], right[number]
            if both or number == 0:
                before[0, earlier], after[0, earlier] = left[number], right[number]
            if both or number == len(chosen) - 1:
                before[1, later], after[1, later] = left[number], right[number]
    return before.mean(0), after.mean(0)


def _step(regress: Regressor, left, middle, right, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """left and right after the correction of the best anchor of each direction, 4 to `longest` frames away."""
    factors = best_factors(*regress(np.stack([left, middle, right], axis=1)), CLAMP_TEST)
    previous = np.clip((middle - left + 1) * factors[:, 0], LEAST_FRAMES, max(LEAST_FRAMES, longest))
    following = np.clip((right - middle) * factors[:, 1], LEAST_FRAMES, max(LEAST_FRAMES, longest))
    return middle - previous + 1, middle + following


def best_factors(right: np.ndarray, corrections: np.ndarray, clamp: float) -> np.ndarray:
    """(N, 2) new over present length by the anchor with the highest probability (N, 2, A), corrected."""
    best = right.argmax(axis=-1)[..., None]
    chosen = np.take_along_axis(np.clip(corrections, -clamp, clamp), best, axis=-1)[..., 0]
    return np.asarray(ANCHORS)[best[..., 0]] * np.exp(chosen)


# --- training -----------------------------------------------------------------------------------------------------


def draw_part(rng: np.random.Generator, boundaries: np.ndarray, num_frames: int, longest: int) -> tuple[int, int]:
    """First and last frame of a random part of a video (of two cycles or more), of at most `longest` frames.

    It begins with the video or within a cycle, and ends with the video or within a later cycle; but for `longest`, a
    whole cycle lies in it.
    """
    number = len(boundaries)  # boundaries, not cycles
    first = rng.integers(0, number - 2)
    last = rng.integers(first + 2, number + 1)
    begin = 0 if first == 0 else rng.integers(int(boundaries[first - 1]), int(boundaries[first]) + 1)
    end = num_frames - 1
    if last < number:
        end = rng.integers(int(boundaries[last - 1]), int(boundaries[last]) + 1)
    return int(begin), int(min(end, begin + longest - 1, num_frames - 1))


def draw_state(rng: np.random.Generator, cycle: float, num_frames: int) -> np.ndarray:
    """A state (3,) near the begin of a part, whose length is off by what a test may meet.

    Args:
        cycle: Frames of the first cycle.

    A quarter of the lengths are up to twice too long or short, a quarter half, once or twice the cycle (5 % around),
    the others as the initial lengths of a test. Where that does not fit: the cycle from the first frame on, or half
    of the part.
    """
    start, kind = np.floor(rng.random() * cycle), rng.random()
    if kind < 0.25:
        length = cycle * 2 ** rng.uniform(-1, 1)
    elif kind > 0.75:
        length = cycle * (2.0 ** rng.integers(-1, 2) + rng.uniform(-0.05, 0.05))
    else:
        length = num_frames * SHORTEST * (LONGEST / SHORTEST) ** (rng.integers(NUM_INITIAL) / (NUM_INITIAL - 1))
    length = max(length, LEAST_FRAMES)
    if start + 2 * length > num_frames:
        start, length = 0.0, max(cycle, LEAST_FRAMES)
    if 2 * length > num_frames:
        length = num_frames / 2
    middle = start + length - 1
    return np.array([start, middle, middle + length])


def next_state(
    rng: np.random.Generator, state: np.ndarray, factors: np.ndarray, num_frames: int
) -> tuple[np.ndarray | None, bool]:
    """The corrected state, 1/20 to 1/5 of the part further on (None where a cycle has become too short), and whether
    it has left the part.
    """
    left, middle, right = state
    previous, following = (middle - left + 1) * factors[0], (right - middle) * factors[1]
    middle = middle + max(num_frames / rng.uniform(5, 20), 1)
    if middle >= num_frames:
        return None, True
    if min(previous, following) < LEAST_FRAMES:
        return None, False
    return np.array([middle - previous + 1, middle, middle + following]), False


def labels_at(states: np.ndarray, lengths: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Classes and offsets (N, 2, A), as `match_anchors`, of states (N, 3) of N parts.

    Args:
        lengths: (next, previous) of each part, as `neighbour_lengths` gives them.
    """
    true = np.full((len(states), 2), np.nan)
    middles = np.rint(states[:, 1]).astype(int)
    for number, (middle, (following, previous)) in enumerate(zip(middles, lengths)):
        for side, (values, place) in enumerate(((previous, middle), (following, middle + 1))):
            if 0 <= place < len(values):
                true[number, side] = values[place]
    present = np.stack([states[:, 1] - states[:, 0] + 1, states[:, 2] - states[:, 1]], axis=1)
    return match_anchors(true, present)
