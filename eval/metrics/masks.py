"""Region overlap J and boundary accuracy F of segmentation masks, as davis2017-evaluation defines them.

Shape letters: H, W pixels. Values are shares from 0 to 1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

TOLERANCE = 0.008  # of the image diagonal


def region_overlap(predicted: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two binary masks (H, W); 1 if both are empty.

    Raises:
        ValueError: if the shapes differ.
    """
    predicted, truth = _same_shape(predicted, truth)
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def boundary_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F: harmonic mean of precision and recall of the boundaries of two binary masks (H, W).

    A boundary pixel counts as found within a disk of radius ceil(0.008 x image diagonal). Masks without a boundary
    (empty, or filling the image) agree with each other, and with no others.

    Raises:
        ValueError: if the shapes differ.

    Source: davis2017-evaluation, `davis2017/metrics.py`.
    """
    predicted, truth = _same_shape(predicted, truth)
    radius = math.ceil(TOLERANCE * math.hypot(*truth.shape))
    found, wanted = boundary(predicted), boundary(truth)
    num_found, num_wanted = np.count_nonzero(found), np.count_nonzero(wanted)
    if not num_found or not num_wanted:
        return float(num_found == num_wanted)
    window = _around(found | wanted)  # no boundary pixel lies outside, so no match can
    found, wanted = found[window], wanted[window]
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)
    precision = np.count_nonzero(found & _dilated(wanted, disk)) / num_found
    recall = np.count_nonzero(wanted & _dilated(found, disk)) / num_wanted
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that differ from the pixel to the right, below, or below and to the right."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    here = padded[:-1, :-1]
    return (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])


def _same_shape(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as booleans."""
    if predicted.shape != truth.shape or truth.ndim != 2:
        raise ValueError(f'a mask of shape {predicted.shape} cannot be scored against one of {truth.shape}')
    return predicted.astype(bool), truth.astype(bool)


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the smallest box that holds all true pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _dilated(mask: np.ndarray, disk: np.ndarray) -> np.ndarray:
    """The mask grown by a disk."""
    return cv2.dilate(mask.astype(np.uint8), disk).astype(bool)
