"""Segments in time after the network: suppression of doubles, voting, and external video-level scores. numpy alone.

n segments of a video, C classes.
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
    """The best segment, then the best of the others, whose scores fall by exp(-IoU^2 / sigma); and so on.

    Args:
        segments: (n, 2), scores: (n,).
        sigma: > 0; smaller suppresses more.
        most: Segments to return.
        least_score: Below it a segment is dropped.

    Returns:
        (k,) places in `segments` and (k,) scores, k <= `most`, in falling order.

    Source: Bodla et al. (ICCV 2017), Gaussian form, in one dimension as in ActionFormer (arXiv:2202.07925).
    """
    places = np.flatnonzero(scores > least_score)
    scores = scores[places]
    chosen, values = [], []
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
    """(k, 2) the chosen segments, each the mean of all that overlap it by `threshold`, weighted by score x IoU.

    A threshold of 0 or 1 leaves them as they are.
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


def suppress(found: np.ndarray, settings: Mapping, class_wise: bool = True) -> np.ndarray:
    """Soft-NMS and voting of one video's (n, 4) rows [start, end, class, score]; falling scores.

    Args:
        settings: `sigma`, `voting`, `most` (segments kept), `before` (best ones that enter; default all),
            `least_score` (default 0.001).
        class_wise: Each class on its own, so that one segment may stand under two classes. Else classes are left out
            of account, and each segment keeps its own.
    """
    least = settings.get('least_score', 1e-3)
    found = found[np.argsort(-found[:, 3], kind='stable')][: settings.get('before')]
    kept = []
    groups = [found[found[:, 2] == number] for number in np.unique(found[:, 2])] if class_wise else [found]
    for rows in groups:
        places, scores = soft_nms(rows[:, :2], rows[:, 3], settings['sigma'], settings['most'], least)
        segments = vote(rows[places, :2], rows[:, :2], rows[:, 3], settings['voting'])
        kept.append(np.column_stack([segments, rows[places, 2], scores]))
    kept = np.concatenate(kept) if kept else np.empty((0, 4))
    return kept[np.argsort(-kept[:, 3], kind='stable')][: settings['most']]


def fuse(proposals: np.ndarray, class_scores: np.ndarray, top: int) -> np.ndarray:
    """(n x top, 4) rows: every proposal under the `top` best classes of the video, its score times theirs.

    Args:
        proposals: (n, 4); their classes are not looked at.
        class_scores: (C,) of the video, of another model.

    Source: the practice on ActivityNet (BSN, BMN, ActionFormer): proposals under the two best classes of CUHK's
    classifier of 2017.
    """
    best = np.argsort(-class_scores, kind='stable')[:top]
    rows = np.repeat(proposals, len(best), axis=0)
    rows[:, 2] = np.tile(best, len(proposals))
    rows[:, 3] *= np.tile(class_scores[best], len(proposals))
    return rows[np.argsort(-rows[:, 3], kind='stable')]
