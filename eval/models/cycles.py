"""Repetition counting by cycle localisation, the head that SEVERE uses, on any encoder.

A state (left, middle, right) is a guess at one place in a video: the previous cycle covers frames left..middle, the
next one middle+1..right. A network sees both cycles with their context. For seven anchors (lengths relative to the
current guess) it says whether the anchor is right and how to correct it. The corrections are applied until the lengths
settle.

Positions and lengths are whole frames at every step, truncated or rounded where SEVERE's code does it. Ours, in
fractions of frames, is eval/models/cycles_fractional.py.

Source: Zhang et al., Context-aware and scale-insensitive temporal repetition counting, CVPR 2020, in the code of SEVERE
(ECCV 2022), which exchanges the backbone. Counts are held against that code in tests/eval/models/test_cycles.py; what
is otherwise is among the departures of eval/protocols/repetition_cycles.py.

Shape letters: N states, A anchors, B videos, K cycles, T frames of a window, T' time steps, D feature width. Lengths
are in frames.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ANCHORS = (0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0)  # new length / current length
SAME = ANCHORS.index(1.0)
LEAST_IOU = 0.5  # between a positive anchor and the true cycle
BOX_WEIGHT = 50.0  # of the corrections in the loss
LEAST_FRAMES = 4  # shortest cycle
WINDOW_FRAMES = 16  # frames sampled from each window
PADDING = (0.485, 0.456, 0.406)  # normalised value of frames outside the video: the mean of ImageNet, for any encoder
EXTRA_FRAMES = 1  # a label is one frame longer than the cycle
CONTEXT_BEFORE = 1.0  # cycle lengths that the previous window adds before its cycle
CONTEXT_AFTER = 2.0  # cycle lengths that the next window spans in all

NUM_INITIAL, SHORTEST, LONGEST = 30, 0.03, 0.35  # initial lengths to try, as shares of the video
NUM_REFINEMENTS = 4
NUM_LEVELS, NUM_POSITIONS = 5, 32
LEVEL_ITERATIONS = {1: 4, 2: 2, 3: 1, 4: 1}
MERGE_WEIGHT = 0.5
CLAMP_TEST, CLAMP_TRAIN = 0.5, 2.0  # limits of predicted log corrections

# states (N, 3) -> probability (N, 2, A) that each anchor is right, log corrections (N, 2, A); order: previous, next
Regressor = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


# --- labels ---------------------------------------------------------------------------------------------------------


def neighbour_lengths(boundaries: np.ndarray, num_frames: int, first_frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Length of the cycle that starts at each frame, and of the cycle that ends there.

    Time is warped so that every annotated cycle has length 1 (linear between boundaries). A frame's next cycle ends,
    and its previous cycle starts, one such unit away.

    Args:
        boundaries: (K + 1,) increasing frame numbers.
        num_frames: Number of frames to label.
        first_frame: The first of them.

    Returns:
        next, previous: (num_frames,) lengths. NaN where no whole cycle fits, or where it would span two annotated
        cycles whose lengths differ by more than 2 frames and by more than a factor of 1.3. With a single cycle, all is
        NaN but the ends.

    Source: UCFRep's published annotations hold these lengths, rounded (`true_lengths`); a test compares.
    """
    boundaries = np.asarray(boundaries, dtype=np.float64)
    phases, lengths = np.arange(len(boundaries), dtype=np.float64), np.diff(boundaries)
    frames = first_frame + np.arange(num_frames, dtype=np.float64)
    phase = np.interp(frames, boundaries, phases)
    number = np.clip(np.floor(phase).astype(int), 0, len(lengths) - 1)  # index of the cycle that a frame is in
    mixed = _unlike(lengths[:-1], lengths[1:])  # cycle i and cycle i + 1
    inside = (frames >= boundaries[0]) & (frames <= boundaries[-1])

    following = np.interp(phase + 1, phases, boundaries) - frames
    whole = inside & (frames < boundaries[-2])
    following[~whole | _at(mixed, number)] = np.nan

    previous = frames - np.interp(phase - 1, phases, boundaries)
    whole = inside & (frames >= boundaries[1])
    previous[~whole | _at(mixed, number - 1)] = np.nan
    return following, previous


def true_lengths(boundaries: np.ndarray, num_frames: int, first_frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`neighbour_lengths` in whole frames, halves up, as they stand in the published annotations."""
    # An exact half may be computed a little too small.
    following, previous = neighbour_lengths(boundaries, num_frames, first_frame)
    return np.floor(following + 0.5 + 1e-9), np.floor(previous + 0.5 + 1e-9)


def _unlike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether two lengths are too different to be averaged."""
    shorter, longer = np.minimum(one, other), np.maximum(one, other)
    return (longer - shorter > 2) & (longer > 1.3 * shorter)


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """values[places], and False where a place is out of range."""
    inside = (places >= 0) & (places < len(values))
    return np.where(inside, np.append(values, False)[np.where(inside, places, len(values))], False)


def match_anchors(true_length: np.ndarray, present_length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets of the anchors.

    Args:
        true_length: (...,) frames; NaN where unknown.
        present_length: (...,) frames, the current guess.

    Returns:
        classes: (..., A) int64. 1 if the IoU of anchor and true cycle is at least `LEAST_IOU` (both start at the same
            frame, so it is the shorter over the longer), 0 if not, -1 if the true length is unknown.
        offsets: (..., A) log(true length / anchor length) for positive anchors, NaN elsewhere.
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
    after = np.trunc(middle + 1)
    begin = np.stack([np.trunc(left - (middle - left + 1) * CONTEXT_BEFORE), after], axis=1)
    end = np.stack([np.trunc(middle), np.trunc(right + (right - after + 1) * (CONTEXT_AFTER - 1))], axis=1)
    return spaced(begin, end, per_window)


def spaced(begin: np.ndarray, end: np.ndarray, number: int) -> np.ndarray:
    """(..., number) frame numbers spread from `begin` to `end`, whole numbers of shape (...)."""
    spacing = (end - begin + 1) / (number - 1)
    places = np.rint(begin[..., None] - 0.5 + spacing[..., None] * np.arange(number))
    return np.clip(places, begin[..., None], end[..., None]).astype(np.int64)


class CycleHead(nn.Module):
    """For each of the two cycles: whether each anchor is right, and its correction.

    Args:
        in_channels: Feature width.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.classify = nn.ModuleList([nn.Linear(in_channels, 2 * len(ANCHORS)) for _ in range(2)])
        self.correct = nn.ModuleList([nn.Linear(in_channels, len(ANCHORS)) for _ in range(2)])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 2, in_channels), what each cycle's layers read -> logits (N, 2, 2, A) of wrong and right, and log
        corrections (N, 2, A)."""
        sides = features.unbind(dim=1)
        logits = [layer(side).unflatten(-1, (2, -1)) for layer, side in zip(self.classify, sides)]
        return torch.stack(logits, dim=1), torch.stack([layer(side) for layer, side in zip(self.correct, sides)], dim=1)


class CycleNetwork(nn.Module):
    """An encoder on both windows of a state, followed by `CycleHead`.

    Published (`halves=False`): the encoder sees both windows as one clip, half of its frames from each. Features are
    averaged over time and space, and all four layers read the same D values. SEVERE's encoders take 32 frames; with
    another number, the windows have half of that.

    Ours (`halves=True`): time stays, and each half of the time steps goes to the layers of its window. An encoder of 32
    frames sees one clip, any other one clip per window.

    Args:
        encoder: (B, 3, T, H, W) -> (B, T', H', W', D).
        num_frames: T of the encoder.
        size: H = W in pixels.
        mean, std: Normalisation of its input, 3 values each. Frames outside the video get `PADDING` after it; with
            `halves`, the mean.
        halves: See above.

    Raises:
        ValueError: if the encoder takes an odd number of frames, or, with `halves`, an encoder of 32 frames gives a
            single time step.
    """

    mean: Tensor
    std: Tensor
    padding: Tensor

    def __init__(
        self, encoder: nn.Module, num_frames: int, size: int, mean: tuple, std: tuple, halves: bool = False
    ) -> None:
        super().__init__()
        if num_frames % 2 and not halves:
            raise ValueError(
                f'The encoder takes {num_frames} frames, which two windows cannot share equally; cycle localisation '
                "needs an even number, or a recipe with form='fractional'."
            )
        self.encoder, self.halves = encoder, halves
        self.joint = not halves or num_frames == 2 * WINDOW_FRAMES
        self.per_window = num_frames // 2 if self.joint else num_frames
        padding = (0.0,) * 3 if halves else PADDING
        for name, values in (('mean', mean), ('std', std), ('padding', padding)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1, 1), persistent=False)
        with torch.no_grad():
            width = self._features(torch.zeros(1, 2, 3, self.per_window, size, size)).shape[-1]
        self.head = CycleHead(width)

    def forward(self, windows: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and log corrections, as `CycleHead`.

        Args:
            windows: (N, 2, 3, T, H, W), values 0 to 255.
            inside: (N, 2, T) bool, True for frames that lie in the video.
        """
        clips = (windows.float() - self.mean) / self.std
        return self.head(self._features(torch.where(inside[:, :, None, :, None, None], clips, self.padding)))

    def _features(self, clips: Tensor) -> Tensor:
        """(N, 2, 3, T, H, W) normalised -> (N, 2, D), twice the same; with `halves`, (N, 2, time steps * D)."""
        if not self.joint:
            tokens = self.encoder(clips.flatten(0, 1)).float().mean(dim=(2, 3)).flatten(1)  # (N * 2, T' * D)
            return tokens.unflatten(0, (-1, 2))
        tokens = self.encoder(clips.transpose(1, 2).flatten(2, 3)).float()  # (N, T', H', W', D)
        if not self.halves:
            return tokens.mean(dim=(1, 2, 3))[:, None].expand(-1, 2, -1)
        tokens = tokens.mean(dim=(2, 3))
        half = tokens.shape[1] // 2
        if half < 1:
            raise ValueError(
                'An encoder of 32 frames with one time step has no halves for two heads; give it 16 frames.'
            )
        return torch.stack([tokens[:, :half].flatten(1), tokens[:, -half:].flatten(1)], dim=1)


def cut_windows(frames: Tensor, places: np.ndarray) -> tuple[Tensor, Tensor]:
    """Cut windows out of one video.

    Args:
        frames: (n, H, W, 3) uint8.
        places: (N, 2, T) frame numbers, from `window_frames`.

    Returns:
        (N, 2, 3, T, H, W) windows and (N, 2, T) bool, True for frames that lie in the video.
    """
    wanted = torch.from_numpy(places).to(frames.device)
    inside = (wanted >= 0) & (wanted < len(frames))
    return frames[wanted.clamp(0, len(frames) - 1)].permute(0, 1, 5, 2, 3, 4), inside


def cycle_loss(logits: Tensor, corrections: Tensor, classes: Tensor, offsets: Tensor) -> Tensor:
    """Cross-entropy of the anchors plus 50 times smooth L1 of the corrections, each summed over both directions.

    A batch without a known anchor has cross-entropy 0 (the published code gives NaN).

    Args:
        logits: (N, 2, 2, A).
        corrections: (N, 2, A).
        classes: (N, 2, A); -1 is ignored.
        offsets: (N, 2, A). NaN adds nothing, but the mean is still over all N * A.

    Returns:
        A scalar.
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
    """Count the cycles in a video.

    1. At the middle of the video, try 30 initial lengths between 3 % and 35 % of it. Take the one that the network most
       trusts, correct it, then correct it 4 times more with weight 0.5. If none is allowed, the length is 0.
    2. At 32 positions along the video, refine that length from coarse to fine (`_refine`).
    3. The count is `num_frames` times the mean of 1 / length, over previous and next cycles and over the positions
       whose windows lie inside the video, rounded.

    Args:
        regress: The network. Its first states are fractional; states may reach beyond the video.
        num_frames: Frames of the video.
        min_cycles: No length exceeds `num_frames / min_cycles`. Published: 2 (UCFRep), 4 (QUVA).

    Returns:
        A whole number.
    """
    length = _first_length(regress, num_frames, min_cycles)
    middles = np.floor(num_frames / (NUM_POSITIONS + 1) * (np.arange(NUM_POSITIONS) + 0.5))
    left, right = _refine(regress, middles, length, num_frames, min_cycles)
    previous, following = middles - left + 1, right - middles
    begin, end = left - previous * CONTEXT_BEFORE, right + following * (CONTEXT_AFTER - 1)
    seen = (begin >= 0) & (end < num_frames) & (previous > 0) & (following > 0)
    return mean_count(previous[seen], following[seen], num_frames, length)


def mean_count(previous: np.ndarray, following: np.ndarray, num_frames: int, fallback: float) -> float:
    """Whole number of cycles in a video, from the lengths of cycles at some positions.

    Args:
        previous, following: (P,) frames of the cycle before and after each position.
        num_frames: Frames of the video.
        fallback: Cycle length to use if there is no position.
    """
    if not len(previous):
        return float(np.rint(num_frames / (fallback + 1)))
    return float(np.rint(num_frames * np.mean(0.5 / previous + 0.5 / following)))


def correct_lengths(
    regress: Regressor, lengths: np.ndarray, num_frames: int, min_cycles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Correct cycle lengths (L,) once, each at the middle of the video.

    Returns:
        (L,) probabilities that each length is right, and (L,) corrected lengths; NaN outside the allowed range.
    """
    middle = num_frames / 2
    states = np.stack([middle - lengths, np.full_like(lengths, middle), middle + lengths + 1], axis=1)
    right, corrections = regress(states)
    new = lengths * np.exp(np.clip(corrections[:, 0, SAME], -CLAMP_TEST, CLAMP_TEST))
    return right[:, 0, SAME], np.where((new >= LEAST_FRAMES) & (new < num_frames / min_cycles), new, np.nan)


def _first_length(regress: Regressor, num_frames: int, min_cycles: int) -> float:
    """Step 1 of `count_cycles`: a whole length at the middle of the video, or 0."""
    growth = (LONGEST / SHORTEST) ** (np.arange(NUM_INITIAL) / (NUM_INITIAL - 1))
    right, lengths = correct_lengths(regress, num_frames * SHORTEST * growth, num_frames, min_cycles)
    length = 0.0
    if np.isfinite(lengths).any():
        length = float(np.trunc(lengths[np.argmax(np.where(np.isnan(lengths), -np.inf, right))]))
    for _ in range(NUM_REFINEMENTS):
        new = correct_lengths(regress, np.array([length]), num_frames, min_cycles)[1][0]
        if np.isfinite(new):
            length = float(np.rint((1 - MERGE_WEIGHT) * length + MERGE_WEIGHT * new))
    return length


def _refine(
    regress: Regressor, middles: np.ndarray, length: float, num_frames: int, min_cycles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Step 2 of `count_cycles`: where the cycles around each position start and end, coarse to fine.

    Level l (1 to 4) corrects 2^l positions (4, 2, 1, 1 times), each time averaging old and new. Each corrected position
    passes its result to the positions around it. A position holds one estimate from its left and one from its right,
    and continues from their mean. On level 3 only the near side is replaced, so that a position between two corrected
    ones takes half of each. On the other levels both sides are replaced.

    Returns:
        left, right: (32,) whole frame numbers.
    """
    lefts, rights = np.stack([middles - length] * 2), np.stack([middles + length + 1] * 2)  # from the left, the right
    for level in range(1, NUM_LEVELS):
        reach = 2 ** (NUM_LEVELS - level - 1)
        chosen = np.arange(reach, len(middles), 2 * reach)
        places = middles[chosen]
        left, right = np.rint(lefts[:, chosen].mean(0)), np.rint(rights[:, chosen].mean(0))
        new_left, new_right = left, right
        for _ in range(LEVEL_ITERATIONS[level]):
            left, right = np.rint(_merged(new_left, left)), np.rint(_merged(new_right, right))
            new_left, new_right = _step(regress, left, places, right, num_frames / min_cycles)
        before, after = _merged(new_left, left) - places, _merged(new_right, right) - places
        both = level <= 2 or level == NUM_LEVELS - 1
        for number, place in enumerate(chosen):
            earlier, later = slice(place - reach, place), slice(place, place + reach)
            for values, length_there in ((lefts, before[number]), (rights, after[number])):
                values[1, earlier] = np.trunc(middles[earlier] + length_there)
                values[0, later] = np.trunc(middles[later] + length_there)
                if both or number == 0:
                    values[0, earlier] = values[1, earlier]
                if both or number == len(chosen) - 1:
                    values[1, later] = values[0, later]
    return np.rint(lefts.mean(0)), np.rint(rights.mean(0))


def _merged(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """The mean of a corrected value and the one before."""
    return new * MERGE_WEIGHT + old * (1 - MERGE_WEIGHT)


def _step(
    regress: Regressor, left: np.ndarray, middle: np.ndarray, right: np.ndarray, longest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Left and right after one correction; as they were where a cycle would be shorter than 4 frames."""
    factors = best_factors(*regress(np.stack([left, middle, right], axis=1)), CLAMP_TEST)
    previous = np.minimum(np.maximum((middle - left + 1) * factors[:, 0], LEAST_FRAMES), longest)
    following = np.minimum(np.maximum((right - middle) * factors[:, 1], LEAST_FRAMES), longest)
    new_left, new_right = np.trunc(middle - previous + 1), np.trunc(middle + following)
    short = (middle - new_left + 1 < LEAST_FRAMES) | (new_right - middle < LEAST_FRAMES)
    return np.where(short, left, new_left), np.where(short, right, new_right)


def best_factors(right: np.ndarray, corrections: np.ndarray, clamp: float) -> np.ndarray:
    """New length / current length, by the most probable anchor and its correction.

    Args:
        right: (N, 2, A) probability that each anchor is right.
        corrections: (N, 2, A) log corrections.
        clamp: Limit of their absolute value.

    Returns:
        (N, 2).
    """
    best = right.argmax(axis=-1)[..., None]
    chosen = np.take_along_axis(np.clip(corrections, -clamp, clamp), best, axis=-1)[..., 0]
    return np.asarray(ANCHORS)[best[..., 0]] * np.exp(chosen)


# --- training -----------------------------------------------------------------------------------------------------


def draw_part(
    rng: np.random.Generator, boundaries: np.ndarray, section: tuple[int, int], longest: int
) -> tuple[int, int, int]:
    """Draw a random part of a video for training.

    It starts with the section or inside a cycle, and ends with the section or inside a later cycle. It holds at least
    one whole cycle, unless `longest` cuts it.

    Args:
        boundaries: (K + 1,) increasing frame numbers, K >= 2.
        section: First and last frame of what is used of the video.
        longest: Most frames of the part.

    Returns:
        First and last frame, and the number of boundaries from the one that it starts before to the one that it ends
        before, which stands for its count.
    """
    number = len(boundaries)  # boundaries, not cycles
    first = rng.integers(0, number - 2)
    last = rng.integers(first + 2, number + 1)
    begin, end = section
    if first > 0:
        begin = int(rng.integers(int(boundaries[first - 1]), int(boundaries[first]) + 1))
    if last < number:
        end = int(rng.integers(int(boundaries[last - 1]), int(boundaries[last]) + 1))
    return begin, min(end, begin + longest - 1, section[1]), int(last - first)


def draw_state(rng: np.random.Generator, cycle: float, num_frames: int, mean_cycle: float) -> np.ndarray:
    """Draw a state near the start of a part, with the errors in length that counting meets.

    A quarter of the lengths are off by up to a factor of 2. A quarter are 0.5, 1 or 2 times the cycle, within 5 % of
    it. The rest are drawn like the initial lengths of `count_cycles`, and one step beyond. If the previous cycle does
    not fit, it becomes an average one from frame 0; if the next one does not, both are half the part.

    Args:
        cycle: Length of the first cycle.
        num_frames: Frames of the part.
        mean_cycle: Frames per cycle of the part.

    Returns:
        (3,) left, middle, right: whole numbers.
    """
    left, kind = np.floor(rng.random() * cycle), rng.random()
    if kind < 0.25:
        length = cycle * 2 ** rng.uniform(-1, 1)
    elif kind > 0.75:
        length = cycle * (2.0 ** rng.integers(-1, 2) + rng.uniform(-0.05, 0.05))
    else:
        length = num_frames * SHORTEST * (LONGEST / SHORTEST) ** (rng.integers(NUM_INITIAL + 1) / (NUM_INITIAL - 1))
    middle = max(left + np.trunc(length - 1), left)
    if middle >= num_frames:
        left, middle = 0.0, mean_cycle - 1
    if middle * 2 + 1 >= num_frames:
        left, middle = 0.0, num_frames / 2 - 1
    middle = np.trunc(middle)
    return np.array([left, middle, middle + (middle - left + 1)])


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
    middle = middle + np.trunc(max(num_frames / rng.uniform(5, 20), 1))
    left, right = np.trunc(middle - previous + 1), np.trunc(middle + following)
    if middle >= num_frames:
        return None, True
    if min(middle - left + 1, right - middle) < LEAST_FRAMES:
        return None, False
    return np.array([left, middle, right]), False


def labels_at(
    states: np.ndarray, lengths: Sequence[tuple[np.ndarray, np.ndarray]], extra_frames: int = EXTRA_FRAMES
) -> tuple[np.ndarray, np.ndarray]:
    """Targets of states, one from each of N parts.

    Args:
        states: (N, 3).
        lengths: (next, previous) of each part, from `true_lengths`.
        extra_frames: What a label is longer than its cycle.

    Returns:
        Classes and offsets (N, 2, A), as `match_anchors`.
    """
    true = np.full((len(states), 2), np.nan)
    middles = np.rint(states[:, 1]).astype(int)
    for number, (middle, (following, previous)) in enumerate(zip(middles, lengths)):
        for side, (values, place) in enumerate(((previous, middle), (following, middle + 1))):
            if 0 <= place < len(values):
                true[number, side] = values[place] + extra_frames
    present = np.stack([states[:, 1] - states[:, 0] + 1, states[:, 2] - states[:, 1]], axis=1)
    return match_anchors(true, present)
