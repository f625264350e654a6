"""J and F of masks, with answers known by hand."""

import numpy as np
import pytest
from skimage.morphology import disk

from eval.metrics.masks import boundary, boundary_accuracy, region_overlap


def square(top, left, side, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_overlap_of_shifted_squares():
    assert region_overlap(square(10, 10, 20), square(10, 20, 20)) == pytest.approx(200 / 600, abs=1e-12)
    assert region_overlap(square(0, 0, 0), square(0, 0, 0)) == 1
    assert region_overlap(square(0, 0, 0), square(0, 0, 5)) == 0


def test_boundary_tolerates_one_pixel_at_this_size_and_not_three():
    truth = square(10, 10, 20)  # diagonal 100, tolerance 1 pixel
    assert boundary_accuracy(square(10, 11, 20), truth) == 1
    shifted = boundary_accuracy(square(10, 13, 20), truth)
    assert 0 < shifted < 0.7
    assert boundary_accuracy(square(0, 0, 0), truth) == 0
    assert boundary_accuracy(square(0, 0, 0), square(0, 0, 0)) == 1


def test_cropping_to_the_boundaries_changes_no_value():
    import cv2

    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = (cv2.GaussianBlur(rng.random((150, 200)), (0, 0), 9) > 0.5 for _ in range(2))
        edges, wanted = boundary(one), boundary(other)
        grown = [cv2.dilate(e.astype(np.uint8), disk(2)).astype(bool) for e in (edges, wanted)]
        precision, recall = (edges & grown[1]).sum() / edges.sum(), (wanted & grown[0]).sum() / wanted.sum()
        assert boundary_accuracy(one, other) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match='60, 80'):
        region_overlap(square(0, 0, 3), square(0, 0, 3, (50, 80)))


@pytest.mark.parametrize(
    'number, overlap, accuracy',
    [
        (0, 0.8718405126379495, 0.5878962536023055),
        (1, 0.8087014280969778, 0.4396551724137931),
        (2, 0.7211567732115677, 0.3983050847457627),
    ],
)
def test_numbers_of_davis2017_evaluation(number, overlap, accuracy):
    """Printed by davis2017/metrics.py of davis2017-evaluation for two discs on 120 x 160."""
    down, across = np.mgrid[:120, :160]
    truth = (down - 50) ** 2 + (across - 70) ** 2 < (30 + number) ** 2
    found = (down - 52) ** 2 + (across - 70 - 3 * number) ** 2 < 28**2
    assert region_overlap(found, truth) == pytest.approx(overlap, abs=1e-9)
    assert boundary_accuracy(found, truth) == pytest.approx(accuracy, abs=1e-9)
