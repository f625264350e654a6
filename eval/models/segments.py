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
        most: Segments to return.
        least_score: Segments at or below it are dropped.

    Returns:
        (k,) indices into `segments` and (k,) decayed scores, k <= `most`, highest first.

    Source: Bodla et al. (ICCV 2017), Gaussian form, in one dimension as in ActionFormer (arXiv:2202.07925).
    """
    places = np.flatnonzero(scores > least_score)
    scores = scores[places]
    chosen: list[int] = []
    values: list[float] = []
    while len(places) and len(chosen) < most:
        best = int(scores.argmax())
        chosen.append(places[best])
        values.append(scores[best])
        scores = scores * np.exp(-(overlaps(segments[places[best]], segments[places]) ** 2) / sigma)
        scores[best] = 0
        keep = scores > least_score
        places, scores = places[keep], scores[keep]
    return np.array(chosen, dtype=int), np.array(values)


def vote(chosen: np.ndarray, segments: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Refine chosen segments: each becomes the mean of all segments that overlap it, weighted by score x IoU.

    Args:
        chosen: (k, 2) segments to refine.
        segments, scores: (n, 2) and (n,), all segments before suppression.
        threshold: IoU from which a segment counts. 0 or 1 leaves the chosen ones as they are.

    Returns:
        (k, 2) refined segments.

    Source: voting in ActionFormer (arXiv:2202.07925).
    """
    if not 0 < threshold < 1 or len(chosen) == 0:
        return chosen
    refined = chosen.copy()
    for number, segment in enumerate(chosen):
        overlap = overlaps(segment, segments)
        weight = np.where(overlap >= threshold, overlap * scores, 0)
        if weight.sum() > 0:
            refined[number] = weight @ segments / weight.sum()
    return refined


def suppress(found: np.ndarray, settings: Mapping) -> np.ndarray:
    """Soft-NMS and voting for one video, each class on its own, so one segment may stand under two classes.

    Args:
        found: (n, 4) rows [start, end, class, score].
        settings: `sigma` (`soft_nms`), `voting` (threshold of `vote`), `most` (segments kept), `before` (best segments
            to start from; default: all), `least_score` (default: 0.001).

    Returns:
        (k, 4) rows, k <= `most`, highest score first.
    """
    least = settings.get('least_score', 1e-3)
    found = found[np.argsort(-found[:, 3], kind='stable')][: settings.get('before')]
    kept = []
    for number in np.unique(found[:, 2]):
        rows = found[found[:, 2] == number]
        places, scores = soft_nms(rows[:, :2], rows[:, 3], settings['sigma'], settings['most'], least)
        segments = vote(rows[places, :2], rows[:, :2], rows[:, 3], settings['voting'])
        kept.append(np.column_stack([segments, rows[places, 2], scores]))
    joined = np.concatenate(kept) if kept else np.empty((0, 4))
    return joined[np.argsort(-joined[:, 3], kind='stable')][: settings['most']]


def fuse(proposals: np.ndarray, class_scores: np.ndarray, top: int) -> np.ndarray:
    """Give every proposal the `top` best classes of its video.

    Args:
        proposals: (n, 4) rows [start, end, class, score]; the class is ignored.
        class_scores: (C,) scores of the video from another model.
        top: Classes per proposal.

    Returns:
        (n x top, 4) rows, highest score first. A score is that of the proposal times that of the class.

    Source: the practice on ActivityNet (BSN, BMN, ActionFormer): proposals take the two best classes of CUHK's 2017
    classifier.
    """
    best = np.argsort(-class_scores, kind='stable')[:top]
    rows = np.repeat(proposals, len(best), axis=0)
    rows[:, 2] = np.tile(best, len(proposals))
    rows[:, 3] *= np.tile(class_scores[best], len(proposals))
    return rows[np.argsort(-rows[:, 3], kind='stable')]
