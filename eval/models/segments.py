"""Post-processing of temporal segments: soft-NMS, voting, and external video-level scores. Needs numpy only.

Shape letters: n segments of a video, C classes.
"""

from collections.abc import Mapping

import numpy as np


def overlaps(segment: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) temporal IoU of one segment (2,) with others (n, 2)."""
    together = np.maximum(np.minimum(segment[1], others[:, 1]) - np.maximum(segment[0], others[:, 0]), 0)
    union = (segment[1] - segment[0]) + (others[:, 1] - others[:, 0]) - together
    return together / np.maximum(union, 1e-8)


def soft_nms(
    segments: np.ndarray, scores: np.ndarray, sigma: float, most: int, least_score: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian soft-NMS: take the best segment, decay the scores of the rest by exp(-IoU^2 / sigma), repeat.

    Args:
        segments: (n, 2) start and end, in any unit.
        scores: (n,).
        sigma: > 0; smaller suppresses more.
        most: Segments to return, at least 1.
        least_score: Segments whose score falls below it are dropped. The best segment stays whatever its score.

    Returns:
        (k,) indices into `segments` and (k,) decayed scores, k <= `most`, highest first.

    Raises:
        ValueError: if a value is not finite, a segment ends before it starts, or `sigma` or `most` is not positive.

    Source: Bodla et al. (ICCV 2017), Gaussian form, in one dimension as in ActionFormer (arXiv:2202.07925).
    """
    _check(segments, scores)
    if not sigma > 0 or not most >= 1:
        raise ValueError(f'soft-NMS needs sigma > 0 and at least 1 segment to keep; got sigma {sigma} and {most}')
    places = np.arange(len(scores))
    chosen: list[int] = []
    values: list[float] = []
    while len(places) and len(chosen) < most:
        best = int(scores.argmax())
        chosen.append(places[best])
        values.append(scores[best])
        scores = scores * np.exp(-(overlaps(segments[places[best]], segments[places]) ** 2) / sigma)
        keep = scores >= least_score
        keep[best] = False
        places, scores = places[keep], scores[keep]
    return np.array(chosen, dtype=int), np.array(values)


def vote(
    chosen: np.ndarray, segments: np.ndarray, scores: np.ndarray, threshold: float, by_overlap: bool = True
) -> np.ndarray:
    """Refine chosen segments: each becomes the weighted mean of all segments that overlap it.

    Args:
        chosen: (k, 2) segments to refine.
        segments, scores: (n, 2) and (n,), all segments before suppression.
        threshold: IoU in (0, 1) from which a segment counts. 0 or 1 leaves the chosen ones as they are.
        by_overlap: Weights are score x IoU, as in ActionFormer; False: the score alone, as in OpenTAD.

    Returns:
        (k, 2) refined segments.

    Raises:
        ValueError: if a value is not finite, a segment ends before it starts, or the threshold lies outside [0, 1].

    Source: seg_voting of ActionFormer and of OpenTAD, which differ in the weights.
    """
    _check(chosen, np.zeros(len(chosen)))
    _check(segments, scores)
    if not 0 <= threshold <= 1:
        raise ValueError(f'voting counts segments from an IoU in [0, 1]; got {threshold}')
    if threshold in (0, 1) or len(chosen) == 0:
        return chosen
    refined = chosen.copy()
    for number, segment in enumerate(chosen):
        overlap = overlaps(segment, segments)
        weight = np.where(overlap >= threshold, scores * overlap if by_overlap else scores, 0)
        if weight.sum() > 0:
            refined[number] = weight @ segments / weight.sum()
    return refined


def suppress(found: np.ndarray, settings: Mapping) -> np.ndarray:
    """Soft-NMS and voting for one video.

    Args:
        found: (n, 4) rows [start, end, class, score].
        settings:
            sigma: See `soft_nms`.
            most: Segments kept.
            class_wise: Each class on its own, so one segment may stand under two classes (default); False: all
                segments together, for proposals that have no class.
            voting: Threshold of `vote` with weights as in OpenTAD, for `class_wise=False` alone: the published codes
                never vote class by class. 0, the default, does not vote.
            class_wise_voting: Ours, not published: threshold of `vote` within each class, weights score x IoU.
                0, the default, does not vote.
            before: Best segments to start from; default: all.
            least_score: Segments whose score falls below it are dropped (default: 0.001).

    Returns:
        (k, 4) rows, k <= `most`, highest score first.

    Raises:
        ValueError: as `soft_nms` and `vote`, or if voting is asked for that the other setting of `class_wise` has.

    Source: batched_nms of ActionFormer and OpenTAD.
    """
    found = np.asarray(found)
    if found.ndim != 2 or found.shape[1] != 4:
        raise ValueError(f'segments have shape {found.shape}; need (n, 4): start, end, class, score')
    class_wise = settings.get('class_wise', True)
    voting, own_voting = settings.get('voting') or 0, settings.get('class_wise_voting') or 0
    if voting if class_wise else own_voting:
        raise ValueError(
            'suppression is class-wise, where the published codes never vote: leave out `voting`, or say '
            '`class_wise_voting` for ours'
            if class_wise
            else 'suppression is of all classes together: say `voting` instead of `class_wise_voting`'
        )
    _check(found[:, :2], found[:, 2:])
    found = found[np.argsort(-found[:, 3], kind='stable')][: settings.get('before')]
    groups = [found[found[:, 2] == n] for n in np.unique(found[:, 2])] if class_wise else [found]
    kept = [np.empty((0, 4))]
    for rows in groups:
        places, scores = soft_nms(
            rows[:, :2], rows[:, 3], settings['sigma'], settings['most'], settings.get('least_score', 1e-3)
        )
        segments = vote(rows[places, :2], rows[:, :2], rows[:, 3], own_voting or voting, by_overlap=class_wise)
        kept.append(np.column_stack([segments, rows[places, 2], scores]))
    joined = np.concatenate(kept)
    return joined[np.argsort(-joined[:, 3], kind='stable')][: settings['most']]


def fuse(proposals: np.ndarray, class_scores: np.ndarray, top: int) -> np.ndarray:
    """Give every proposal the `top` best classes of its video.

    Args:
        proposals: (n, 4) rows [start, end, class, score]; the class is ignored.
        class_scores: (C,) scores of the video from another model.
        top: Classes per proposal, at least 1; all C if there are fewer.

    Returns:
        (n x top, 4) rows, highest score first. A score is that of the proposal times that of the class.

    Raises:
        ValueError: if a value is not finite, a proposal ends before it starts, or `top` is below 1.

    Source: the practice on ActivityNet (BSN, BMN, ActionFormer): proposals take the two best classes of CUHK's 2017
    classifier.
    """
    _check(proposals[:, :2], proposals[:, 3])
    if not np.isfinite(class_scores).all():
        raise ValueError(
            f'{int((~np.isfinite(class_scores)).sum())} of {len(class_scores)} class scores are not finite'
        )
    if top != int(top) or top < 1:
        raise ValueError(f'a proposal needs at least 1 class, a whole number; got {top}')
    best = np.argsort(-class_scores, kind='stable')[: int(top)]
    rows = np.repeat(proposals, len(best), axis=0)
    rows[:, 2] = np.tile(best, len(proposals))
    rows[:, 3] *= np.tile(class_scores[best], len(proposals))
    return rows[np.argsort(-rows[:, 3], kind='stable')]


def _check(segments: np.ndarray, scores: np.ndarray) -> None:
    """Raise ValueError naming the first segment (n, 2) or score (n, ...) that is not finite, or that ends too early."""
    broken = ~np.isfinite(np.column_stack([segments, scores])).all(axis=1)
    broken |= segments[:, 1] < segments[:, 0]
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        raise ValueError(
            f'{int(broken.sum())} of {len(segments)} segments are not finite or end before they start, first number '
            f'{first}: {segments[first].tolist()}, score {scores[first].tolist()}'
        )
