"""Counting by cycle localisation with lengths in fractions of frames: ours, beside SEVERE's (eval/models/cycles.py).

SEVERE truncates positions and lengths to whole frames at every step, so that even a network without error miscounts
short cycles. Here they stay fractional. Labels are exact lengths too, where SEVERE's are rounded and a frame longer.

Shape letters: N states, T frames of a window. Lengths are in frames.
"""

import numpy as np

from eval.models.cycles import (
    CLAMP_TEST,
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    LEAST_FRAMES,
    LEVEL_ITERATIONS,
    LONGEST,
    MERGE_WEIGHT,
    NUM_INITIAL,
    NUM_LEVELS,
    NUM_POSITIONS,
    NUM_REFINEMENTS,
    SHORTEST,
    WINDOW_FRAMES,
    Regressor,
    best_factors,
    correct_lengths,
    mean_count,
    neighbour_lengths,
    spaced,
)

EXTRA_FRAMES = 0  # a label is the length itself
true_lengths = neighbour_lengths


def window_frames(states: np.ndarray, per_window: int = WINDOW_FRAMES) -> np.ndarray:
    """Frame numbers of the previous and the next window of each state, evenly spaced.

    The previous window starts one length before the previous cycle and ends at `middle`. The next window starts after
    `middle` and is twice as long as the next cycle. Numbers outside the video stand for padding.

    Args:
        states: (N, 3) left, middle, right.
        per_window: Frames per window.

    Returns:
        (N, 2, per_window) int64.
    """
    left, middle, right = np.asarray(states, dtype=np.float64).T
    begin = np.stack([left - (middle - left + 1) * CONTEXT_BEFORE, middle + 1], axis=1).round()
    end = np.stack([middle, right + (right - middle) * (CONTEXT_AFTER - 1)], axis=1).round()
    return spaced(begin, end, per_window)


def count_cycles(regress: Regressor, num_frames: int, min_cycles: int = 2) -> float:
    """Count the cycles in a video.

    1. At the middle of the video, try 30 initial lengths between 3 % and 35 % of it. Take the one that the network most
       trusts, correct it, then correct it 4 times more with weight 0.5.
    2. At 32 positions along the video, refine that length from coarse to fine (`_refine`).
    3. The count is `num_frames` times the mean of 1 / length, over previous and next cycles and over the positions
       whose windows lie inside the video, rounded.

    If no initial length is allowed, the length is `num_frames / min_cycles`, at least 4 frames.

    Args:
        regress: The network. Its states are fractional and may reach beyond the video.
        num_frames: Frames of the video.
        min_cycles: No length exceeds `num_frames / min_cycles`. Published: 2 (UCFRep), 4 (QUVA).

    Returns:
        A whole number.
    """
    length = _first_length(regress, num_frames, min_cycles)
    middles = np.floor(num_frames / (NUM_POSITIONS + 1) * (np.arange(NUM_POSITIONS) + 0.5))
    before, after = _refine(regress, middles, length, num_frames, min_cycles)
    left, right = middles + before, middles + after
    previous, following = middles - left + 1, right - middles
    begin, end = np.trunc(left - previous * CONTEXT_BEFORE), np.trunc(right + following * (CONTEXT_AFTER - 1))
    seen = (begin >= 0) & (end < num_frames) & (previous > 0) & (following > 0)
    return mean_count(previous[seen], following[seen], num_frames, length)


def _first_length(regress: Regressor, num_frames: int, min_cycles: int) -> float:
    """Step 1 of `count_cycles`: a length at the middle of the video."""
    shares = SHORTEST * (LONGEST / SHORTEST) ** (np.arange(NUM_INITIAL) / (NUM_INITIAL - 1))
    right, lengths = correct_lengths(regress, num_frames * shares, num_frames, min_cycles)
    if np.isnan(lengths).all():
        return max(LEAST_FRAMES, num_frames / min_cycles)
    length = float(lengths[np.argmax(np.where(np.isnan(lengths), -np.inf, right))])
    for _ in range(NUM_REFINEMENTS):
        new = correct_lengths(regress, np.array([length]), num_frames, min_cycles)[1][0]
        if np.isfinite(new):
            length = float((1 - MERGE_WEIGHT) * length + MERGE_WEIGHT * new)
    return length


def _refine(
    regress: Regressor, middles: np.ndarray, length: float, num_frames: int, min_cycles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Step 2 of `count_cycles`: where the cycles around each position start and end, relative to it, coarse to fine.

    Level l (1 to 4) corrects 2^l positions (4, 2, 1, 1 times), each time averaging old and new. Each corrected position
    passes its result to the positions around it. A position holds one estimate from its left and one from its right,
    and continues from their mean. On level 3 only the near side is replaced, so that a position between two corrected
    ones takes half of each. On the other levels both sides are replaced.

    Returns:
        before, after: (32,) frames; negative before, positive after.
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


def _step(
    regress: Regressor, left: np.ndarray, middle: np.ndarray, right: np.ndarray, longest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Left and right after one correction, with cycles between 4 and `longest` frames."""
    factors = best_factors(*regress(np.stack([left, middle, right], axis=1)), CLAMP_TEST)
    previous = np.clip((middle - left + 1) * factors[:, 0], LEAST_FRAMES, max(LEAST_FRAMES, longest))
    following = np.clip((right - middle) * factors[:, 1], LEAST_FRAMES, max(LEAST_FRAMES, longest))
    return middle - previous + 1, middle + following


def draw_state(rng: np.random.Generator, cycle: float, num_frames: int, mean_cycle: float) -> np.ndarray:
    """Draw a state near the start of a part, with the errors in length that counting meets.

    A quarter of the lengths are off by up to a factor of 2. A quarter are 0.5, 1 or 2 times the cycle, within 5 % of
    it. The rest are drawn like the initial lengths of `count_cycles`. If the state does not fit, it becomes the first
    cycle from frame 0; if that does not fit either, its cycles are half the part each.

    Args:
        cycle: Length of the first cycle.
        num_frames: Frames of the part.
        mean_cycle: Not used here.

    Returns:
        (3,) left, middle, right.
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
    """Correct a state and move it on by 1/20 to 1/5 of the part.

    Args:
        state: (3,).
        factors: (2,) new length / current length of the previous and the next cycle.
        num_frames: Frames of the part.

    Returns:
        The new state, or None if it left the part or a cycle became too short; and whether it left the part.
    """
    left, middle, right = state
    previous, following = (middle - left + 1) * factors[0], (right - middle) * factors[1]
    middle = middle + max(num_frames / rng.uniform(5, 20), 1)
    if middle >= num_frames:
        return None, True
    if min(previous, following) < LEAST_FRAMES:
        return None, False
    return np.array([middle - previous + 1, middle, middle + following]), False
