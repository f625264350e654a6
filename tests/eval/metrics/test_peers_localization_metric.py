"""mAP and AR of 50 cases against ActivityNet's evaluators; tests/data/peers/SOURCES.md says how the file was made.

In the last ten, some videos have no true segment (L3). No two scores of a case are equal, since the order of equal
ones is not defined there (L4).
"""

from pathlib import Path

import numpy as np
import pytest

from eval.metrics.localization import (
    ACTIVITYNET_TIOU,
    THUMOS_TIOU,
    average_precisions,
    average_recall,
    mean_average_precision,
    pack_segments,
    recall_area,
)

CASES = np.load(Path(__file__).parents[2] / 'data' / 'peers' / 'localization_metric.npz')


def case(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (N, P, 4) and ground truth (N, G, 3) of a case."""
    count = int(CASES[f'videos_{number:02d}'])
    return tuple(
        pack_segments([rows[rows[:, 0] == video, 1:] for video in range(count)], width)
        for rows, width in ((CASES[f'predicted_{number:02d}'], 4), (CASES[f'true_{number:02d}'], 3))
    )


@pytest.mark.parametrize('number', range(50))
def test_average_precisions_are_those_of_activitynets_evaluator(number):
    scores, labels = case(number)
    for name, tiou in (('anet', ACTIVITYNET_TIOU), ('thumos', THUMOS_TIOU)):
        theirs = CASES[f'ap_{name}_{number:02d}']
        assert average_precisions(scores, labels, tiou) == pytest.approx(theirs, abs=1e-6)
        assert mean_average_precision(scores, labels, tiou) == pytest.approx(100 * theirs.mean(), abs=1e-6)


@pytest.mark.parametrize('number', range(50))
def test_average_recall_is_that_of_activitynets_evaluator(number):
    """From 40 on: videos without a true segment do not count in the number of videos (L3)."""
    scores, labels = case(number)
    assert average_recall(scores, labels) == pytest.approx(100 * CASES[f'recall_{number:02d}'], abs=1e-6)
    assert recall_area(scores, labels) == pytest.approx(100 * CASES[f'area_{number:02d}'], abs=1e-6)
