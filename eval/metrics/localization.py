"""Mean average precision and average recall of actions found in time, in percent.

Predictions are `scores` (N, P, 4): start and end in seconds, class, score. Ground truth is `labels` (N, G, 3): start
and end in seconds, class. Padding rows have class -1. Shape letters: N videos, at most P predicted and G true segments
per video, T thresholds of temporal IoU, C classes with a true segment, B resamples of the videos.

One process scores all videos, so it does not matter how many processes made the predictions (mmaction2's `ANetMetric`
keeps each process's own ground truth, which is wrong with two processes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from eval.metrics.classification import whole_number

# weights (N, B): how often each resample contains each video -> (B,) scores
Resampled = Callable[[np.ndarray], np.ndarray]

ACTIVITYNET_TIOU = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # 0.50:0.05:0.95
THUMOS_TIOU = (0.3, 0.4, 0.5, 0.6, 0.7)
# Segments are stored in single precision, and an overlap of exactly a threshold must count.
TOLERANCE = 1e-6
MOST_PROPOSALS = 100  # per video on average, the end of the axis of AR@AN
NUMBERS = range(1, MOST_PROPOSALS + 1)
# Goes into records word for word; a change would make them differ.
RULES = (
    'evaluator: class-aware; greedy by falling score, each prediction takes the free true segment of its class with '
    'the largest overlap; each true segment once a threshold; interpolated precision; predictions of equal score enter '
    'the curve together; classes without a true segment are left out; average recall: videos without a true segment '
    'are left out, proposals of equal score count as in the mean over their orders'
)


def pack_segments(
    rows: Sequence[np.ndarray | Sequence[Sequence[float]]], width: int, dtype: DTypeLike = np.float64
) -> np.ndarray:
    """(N, M, width) from N arrays (any, width), padded with rows of zeros whose class (column 2) is -1.

    A video may have no rows.

    Raises:
        ValueError: if an array has rows of another width.
    """
    most = max([len(row) for row in rows], default=0)
    packed = np.zeros((len(rows), most, width), dtype=dtype)
    packed[..., 2] = -1
    for number, row in enumerate(rows):
        if len(row):
            if np.shape(row) != (len(row), width):
                raise ValueError(f'segments of video {number} have shape {np.shape(row)}; need (any, {width})')
            packed[number, : len(row)] = row
    return packed


def mean_average_precision(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float] = ACTIVITYNET_TIOU) -> float:
    """Mean over thresholds and classes of the average precision, in percent.

    Args:
        scores: (N, P, 4), as described at the top of this file.
        labels: (N, G, 3), likewise.
        tiou: Thresholds in (0, 1].

    Raises:
        ValueError: if shapes do not match, values are not finite, a segment ends before it starts, a class is not a
            whole number, no video has a true segment, or there is no threshold or one outside (0, 1].

    Source: the evaluation code of ActivityNet; equal to mmaction2's `ActivityNetLocalization` where no two scores are
    equal. Its float32 overlaps are compared without tolerance there.
    """
    return 100 * float(average_precisions(scores, labels, tiou).mean())


def average_precisions(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> np.ndarray:
    """(T, C) average precision, 0 to 1, of each class with a true segment, classes in rising order."""
    return np.stack(
        [_interpolated(one.found, one.scores, len(one.true_video)) for one in _by_class(scores, labels, tiou)], axis=1
    )


def resampled_mean_average_precision(
    scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float] = ACTIVITYNET_TIOU
) -> Resampled:
    """A function from weights (N, B) to `mean_average_precision` of B resamples of the videos, for a bootstrap.

    Predictions match true segments within a video, so matching is done once for all resamples. A video that is drawn
    twice counts as two videos whose predictions have equal scores. A class without a true segment in a resample is
    skipped there; a resample without any true segment gives NaN.

    Precision falls between hits, so only its values at hits matter. The number of predictions up to each hit is a
    product of a sparse matrix with the weights.
    """
    classes = [_reweighted(one, len(labels)) for one in _by_class(scores, labels, tiou)]

    def score(weights: np.ndarray) -> np.ndarray:
        total, count = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for of_class in classes:
            each = of_class(weights)
            there = ~np.isnan(each)
            total[there] += each[there]
            count += there
        return 100 * np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)

    return score


class _OfClass(NamedTuple):
    """One class: its predictions, best first, and its true segments."""

    pred_video: np.ndarray  # (P,) index of the video
    scores: np.ndarray  # (P,)
    found: np.ndarray  # (T, P) bool, whether the prediction matches a true segment
    true_video: np.ndarray  # (G,)


def _by_class(scores: np.ndarray, labels: np.ndarray, tiou: Sequence[float]) -> list[_OfClass]:
    """Each class with a true segment, classes in rising order."""
    thresholds = check_tiou(tiou)
    pred_video, pred, true_video, true = _flat(scores, labels)
    keep = np.isin(pred[:, 2], true[:, 2])
    pred_video, pred = pred_video[keep], pred[keep]
    order = np.lexsort((pred_video, -pred[:, 3], pred[:, 2]))  # class by class, the best first
    pred_video, pred = pred_video[order], pred[order]
    found = _matched(pred_video, pred, true_video, true, thresholds)  # (T, predictions)
    classes = np.unique(true[:, 2])
    begins, ends = (np.searchsorted(pred[:, 2], classes, side) for side in ('left', 'right'))
    return [
        _OfClass(pred_video[begin:end], pred[begin:end, 3], found[:, begin:end], true_video[true[:, 2] == number])
        for begin, end, number in zip(begins, ends, classes)
    ]


def _reweighted(one: _OfClass, num_videos: int) -> Resampled:
    """A function from weights to the mean AP of a class over thresholds, 0 to 1; NaN without a true segment."""
    ends = _ends_of_ties(one.scores)
    group = np.searchsorted(ends, np.arange(len(one.scores)))  # (P,) group of equal scores
    hit = np.flatnonzero(one.found.any(axis=0))
    groups, first_of_group = np.unique(group[hit], return_index=True)
    last = ends[groups[-1]] + 1 if len(hit) else 0
    row = np.searchsorted(groups, group[:last])  # every prediction enters at the next group with a hit
    shape = (len(groups), num_videos)
    entering = csr_array((np.ones(last), (row, one.pred_video[:last])), shape=shape)
    found, hit_video = one.found[:, hit, None], one.pred_video[hit]

    def precision(weights: np.ndarray) -> np.ndarray:
        num_true = weights[one.true_video].sum(axis=0, dtype=np.float64)  # (B,)
        if len(hit) == 0:
            return np.where(num_true > 0, 0.0, np.nan)
        taken = (entering @ weights).cumsum(axis=0)  # (groups, B)
        hits = np.add.reduceat(found * weights[hit_video], first_of_group, axis=1)  # (T, groups, B)
        share = np.divide(hits.cumsum(axis=1), taken, out=np.zeros(hits.shape), where=taken > 0)
        share = np.maximum.accumulate(share[:, ::-1], axis=1)[:, ::-1]
        area = (hits * share).sum(axis=1).mean(axis=0)
        return np.divide(area, num_true, out=np.full(len(area), np.nan), where=num_true > 0)

    return precision


def _ends_of_ties(scores: np.ndarray) -> np.ndarray:
    """Index of the last of each group of equal scores; `scores` are in falling order."""
    return np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1) if len(scores) else np.empty(0, dtype=int)


def average_recall(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(100,) recall in percent, mean over tIoU 0.50:0.05:0.95, at 1 to 100 proposals per video on average; no classes.

    Every video keeps the same share of its proposals, best first. Videos without a true segment do not count in the
    number of videos, though the published code counts their proposals where it cuts each video to its best 100 on
    average. If proposals of equal score are cut, the recall is the mean over all their orders; the published code takes
    the order of the rows.

    Source: the evaluation code of ActivityNet, as in OpenTAD and mmaction2's `average_recall_at_avg_proposals`.
    """
    return _recalls(_hits(scores, labels), np.ones((len(labels), 1)), NUMBERS)[:, 0]


def recall_at(scores: np.ndarray, labels: np.ndarray, number: int) -> float:
    """AR@`number`, in percent.

    Raises:
        ValueError: as `mean_average_precision`, and if `number` is not a whole number from 1 to 100.
    """
    _check_number(number)
    return float(average_recall(scores, labels)[number - 1])


def recall_area(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the curve of AR over 1 to 100 proposals per video, as published: at most 99 percent."""
    return float(_area(average_recall(scores, labels)))


def resampled_recall_at(scores: np.ndarray, labels: np.ndarray, number: int) -> Resampled:
    """Like `resampled_mean_average_precision`, for AR@`number`.

    Which true segments the best proposals of a video hit is computed once. How many proposals count depends on the
    number of proposals of all drawn videos.
    """
    _check_number(number)
    hits = _hits(scores, labels)
    return lambda weights: _recalls(hits, weights, (number,))[0]


def _check_number(number: int) -> None:
    if whole_number(number, f'AR@{number}', 'the number of proposals') > MOST_PROPOSALS:
        raise ValueError(f'AR@{number} was asked for; the curve ends at {MOST_PROPOSALS} proposals per video')


def resampled_recall_area(scores: np.ndarray, labels: np.ndarray) -> Resampled:
    """Like `resampled_recall_at`, for the area under the curve."""
    hits = _hits(scores, labels)
    return lambda weights: _area(_recalls(hits, weights, NUMBERS))


class _Hits(NamedTuple):
    """What the best proposals of each video hit."""

    num_pred: np.ndarray  # (N,)
    num_true: np.ndarray  # (N,)
    first: np.ndarray  # (N,) index in `found` for no proposal of a video; each proposal that counts adds one
    found: np.ndarray  # (P + N,) true segments hit by that many best proposals, mean over thresholds


def _hits(scores: np.ndarray, labels: np.ndarray) -> _Hits:
    pred_video, pred, true_video, true = _flat(scores, labels)
    order = np.lexsort((-pred[:, 3], pred_video))
    pred_video, pred = pred_video[order], pred[order]
    tiou = np.array(ACTIVITYNET_TIOU)
    bounds = [np.searchsorted(v, np.arange(len(labels) + 1)) for v in (pred_video, true_video)]
    num_pred, num_true = (np.diff(b) for b in bounds)
    first = bounds[0][:-1] + np.arange(len(labels))
    found = np.zeros(len(pred) + len(labels))
    for video in np.flatnonzero((num_pred > 0) & (num_true > 0)):
        (start, stop), (begin, end) = (b[video : video + 2] for b in bounds)
        overlaps = _overlap(pred[start:stop, None, :2], true[None, begin:end, :2])  # (P, G)
        hit = overlaps >= tiou[:, None, None] - TOLERANCE  # (T, P, G)
        counts = _hit_by_best(hit, _ends_of_ties(pred[start:stop, 3]))
        found[first[video] + 1 : first[video] + 1 + num_pred[video]] = counts / len(tiou)
    return _Hits(num_pred, num_true, first, found)


def _hit_by_best(hit: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(P,) how many (threshold, true segment) the best 1 to P proposals hit, mean over the orders of equal scores.

    Args:
        hit: (T, P, G) bool, proposals best first.
        ends: Last proposal of each group of equal scores.
    """
    num = hit.shape[1]
    if len(ends) == num:
        rank = hit.argmax(axis=1)[hit.any(axis=1)]  # index of the first proposal that hits
        return np.bincount(rank, minlength=num).cumsum()
    starts = np.concatenate([[0], ends[:-1] + 1])
    of_group = np.add.reduceat(hit, starts, axis=1, dtype=np.int64)  # (T, groups, G) proposals that hit
    group = (of_group > 0).argmax(axis=1)  # (T, G) first group that hits
    hits = np.take_along_axis(of_group, group[:, None], axis=1)[:, 0]
    counts = np.zeros(num)
    for first, number in np.unique(np.stack([group[hits > 0], hits[hits > 0]], axis=1), axis=0):
        size, start = ends[first] + 1 - starts[first], starts[first]
        # k of the group's proposals, drawn without order, all miss: the product of (size - number - i) / (size - i)
        left = np.arange(size)
        missed = np.cumprod(np.maximum(size - number - left, 0) / (size - left))
        times = int(((group == first) & (hits == number)).sum())
        counts[start : start + size] += times * (1 - missed)
        counts[start + size :] += times
    return counts


def _recalls(hits: _Hits, weights: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """(numbers, B) average recall in percent at these numbers of proposals per video; NaN without a true segment."""
    weights = weights.astype(np.float64)  # (N, B)
    most = MOST_PROPOSALS * weights[hits.num_true > 0].sum(axis=0)
    counted = (hits.num_true > 0)[:, None] * weights
    num_pred, num_true = hits.num_pred[:, None], hits.num_true @ weights
    ratio = most / np.maximum(hits.num_pred @ weights, 1)
    taken = np.minimum((num_pred * ratio).astype(int), num_pred)  # (N, B)
    share = most / np.maximum((taken * counted).sum(axis=0), 1)
    recalls = np.full((len(numbers), weights.shape[1]), np.nan)
    for row, number in zip(recalls, numbers):
        allowed = np.minimum((taken * (number / 100 * share)).astype(int), taken)
        found = (hits.found[hits.first[:, None] + allowed] * weights).sum(axis=0)
        np.divide(100 * found, num_true, out=row, where=num_true > 0)
    return recalls


def _area(recalls: np.ndarray) -> np.ndarray:
    # As published: divided by 100 although the curve starts at 1, so the maximum is 99.
    return ((recalls[1:] + recalls[:-1]) / 2).sum(axis=0) / 100


def temporal_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of segments (..., 2), with broadcasting; 0 if both are empty.

    Raises:
        ValueError: if segments are not of shape (..., 2), not finite, or end before they start.
    """
    first, second = np.asarray(first), np.asarray(second)
    for segments in (first, second):
        if segments.ndim == 0 or segments.shape[-1] != 2 or segments.dtype.kind not in 'iuf':
            raise ValueError(f'segments are {segments.dtype} of shape {segments.shape}; need numbers of shape (..., 2)')
        broken = ~np.isfinite(segments).all(axis=-1) | (segments[..., 1] < segments[..., 0])
        if broken.any():
            raise ValueError(f'{int(broken.sum())} segments are not finite or end before they start')
    return _overlap(first.astype(np.float64), second.astype(np.float64))  # unsigned numbers would wrap


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    together = np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0])
    together = np.maximum(together, 0)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - together
    return np.divide(together, union, out=np.zeros(np.broadcast_shapes(together.shape)), where=union > 0)


def check_segments(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays, checked to be as described at the top of this file.

    Raises:
        ValueError: naming the first row that is not.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    fits = scores.ndim == labels.ndim == 3 and (scores.shape[-1], labels.shape[-1]) == (4, 3)
    if not fits or len(scores) != len(labels):
        raise ValueError(f'segments have shape {scores.shape} and {labels.shape}; need (N, P, 4) and (N, G, 3)')
    for name, rows in (('predicted', scores), ('true', labels)):
        if rows.dtype.kind not in 'if':
            raise ValueError(f'{name} segments are {rows.dtype}; need floats, or whole numbers with a sign')
        real = rows[..., 2] >= 0
        broken = ~np.isfinite(rows).all(axis=2) | (real & (rows[..., 1] < rows[..., 0]))
        if broken.any():
            video, row = np.argwhere(broken)[0]
            raise ValueError(
                f'{int(broken.sum())} {name} segments are not finite or end before they start, first {row} of row '
                f'{video}: {rows[video, row].tolist()}'
            )
        if (uneven := np.unique(rows[..., 2][rows[..., 2] % 1 != 0])).size:
            raise ValueError(f'{name} segments have classes that are no whole numbers, first {uneven[0]}')
    return scores, labels


def check_tiou(tiou: Sequence[float]) -> np.ndarray:
    """(T,) thresholds of temporal IoU, checked.

    Raises:
        ValueError: if there is none, or one is not in (0, 1].
    """
    thresholds = np.asarray(tiou, dtype=np.float64)
    if thresholds.ndim != 1 or thresholds.size == 0 or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(f'thresholds of temporal IoU are {thresholds.tolist()}; need at least one, each in (0, 1]')
    return thresholds


def _flat(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Video indices and rows of the predictions, then of the ground truth, without padding."""
    scores, labels = check_segments(scores, labels)
    pred_video, pred_row = np.nonzero(scores[..., 2] >= 0)
    true_video, true_row = np.nonzero(labels[..., 2] >= 0)
    if len(true_video) == 0:
        raise ValueError('no video has a true segment, so there is no average precision')
    return (
        pred_video,
        scores[pred_video, pred_row].astype(np.float64),
        true_video,
        labels[true_video, true_row].astype(np.float64),
    )


def _matched(
    pred_video: np.ndarray, pred: np.ndarray, true_video: np.ndarray, true: np.ndarray, tiou: np.ndarray
) -> np.ndarray:
    """(T, P) whether each prediction matches a true segment; predictions of a class come best first.

    All videos and classes advance together: round r matches the r-th best prediction of each (video, class).
    """
    found = np.zeros((len(tiou), len(pred)), dtype=bool)
    _, kinds = np.unique(np.concatenate([true[:, 2], pred[:, 2]]), return_inverse=True)
    num_kinds = kinds.max() + 1
    true_key = true_video * num_kinds + kinds[: len(true)]
    pred_key = pred_video * num_kinds + kinds[len(true) :]
    order = np.argsort(true_key, kind='stable')
    true_key, true = true_key[order], true[order]
    begin, end = (np.searchsorted(true_key, pred_key, side) for side in ('left', 'right'))
    rank = _rank_within(pred_key)
    free = np.ones((len(tiou), len(true)), dtype=bool)
    few = np.flatnonzero(end > begin)
    few = few[np.argsort(rank[few], kind='stable')]
    for members in np.split(few, np.flatnonzero(np.diff(rank[few])) + 1):
        if len(members) == 0:
            continue
        counts = (end - begin)[members]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        owner = np.repeat(np.arange(len(members)), counts)  # pairs of a prediction and a true segment
        target = np.arange(counts.sum()) - starts[owner] + begin[members][owner]
        overlap = _overlap(pred[members][owner, :2], true[target, :2])
        usable = free[:, target] & (overlap >= tiou[:, None] - TOLERANCE)  # (T, pairs)
        value = np.where(usable, overlap, -1.0)
        best = np.maximum.reduceat(value, starts, axis=1)[:, owner]
        place = np.where(usable & (value == best), np.arange(len(target)), -1)
        place = np.maximum.reduceat(place, starts, axis=1)  # (T, members), -1 where none is free
        found[:, members] = place >= 0
        level, member = np.nonzero(place >= 0)
        free[level, target[place[level, member]]] = False
    return found


def _rank_within(key: np.ndarray) -> np.ndarray:
    """For each entry, how many earlier entries have the same key."""
    order = np.argsort(key, kind='stable')
    begins = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1]) if len(key) else np.empty(0, dtype=int)
    lengths = np.diff(np.append(begins, len(key)))
    rank = np.empty(len(key), dtype=int)
    rank[order] = np.arange(len(key)) - np.repeat(begins, lengths)
    return rank


def _interpolated(found: np.ndarray, scores: np.ndarray, num_true: int) -> np.ndarray:
    """(T,) area under the interpolated precision over recall; `found` (T, P), best prediction first."""
    if found.shape[1] == 0:
        return np.zeros(len(found))
    ends = _ends_of_ties(scores)
    hits = found.cumsum(axis=1)[:, ends]
    precision = hits / (ends + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / num_true
