"""Errors of counts by hand."""

import numpy as np
import pytest

from eval.metrics import METRICS
from eval.metrics.repetition import best_constant_error, count_errors, rounded_counts

# Rounded: 4, 3, 10, 1, 7 for 4, 5, 8, 2, 7: errors 0, -2/5, +2/8, -1/2, 0.
PREDICTED = np.array([[4.4], [2.6], [9.6], [1.2], [7.0]])
TRUE = np.array([4, 5, 8, 2, 7])


def score(name: str) -> float:
    return METRICS[name].function(PREDICTED, TRUE)


def test_by_hand():
    assert count_errors(PREDICTED, TRUE).tolist() == [0, -0.4, 0.25, -0.5, 0]
    assert score('count_error') == pytest.approx(1.15 / 5)
    assert score('count_error_std') == pytest.approx(np.std([0, 0.4, 0.25, 0.5, 0]))
    assert score('over_count') == pytest.approx(0.25 / 5)
    assert score('under_count') == pytest.approx(0.9 / 5)
    assert score('over_count') + score('under_count') == pytest.approx(score('count_error'))
    assert score('off_by_one') == pytest.approx(100 * 3 / 5)  # 4, 1 and 7
    # TransRAC's: a tenth more below the line.
    wanted = np.mean([0, 2 / 5.1, 2 / 8.1, 1 / 2.1, 0])
    assert score('count_error_transrac') == pytest.approx(wanted)


def test_every_error_of_counts_rounds_the_prediction():
    """C3: TransRAC's test script rounds the predicted sum, so 2.4 for 2 is no error."""
    predicted, true = np.array([[2.4]]), np.array([2])
    errors = {name: m.function(predicted, true) for name, m in METRICS.items() if m.task == 'repetition'}
    assert errors.pop('off_by_one') == 100
    assert set(errors.values()) == {0.0}
    assert METRICS['count_error_transrac'].function(np.array([[2.6]]), true) == pytest.approx(1 / 2.1)


def test_halves_go_to_the_even_number():
    """C3: as Python's round in SEVERE and torch's in TransRAC."""
    assert rounded_counts(np.array([0.5, 1.5, 2.5, 2.51, -0.6])).tolist() == [0, 2, 2, 3, -1]


def test_units_and_directions():
    for name in ('count_error', 'count_error_std', 'over_count', 'under_count', 'count_error_transrac'):
        assert (METRICS[name].unit, METRICS[name].higher_is_better) == ('ratio', False)
    assert (METRICS['off_by_one'].unit, METRICS['off_by_one'].higher_is_better) == ('percent', True)


@pytest.mark.parametrize('name', ['count_error', 'over_count', 'under_count', 'count_error_transrac'])
def test_values_of_the_videos_average_to_the_error(name):
    assert METRICS[name].per_video(PREDICTED, TRUE).mean() == pytest.approx(score(name))
    assert METRICS[name].per_video(PREDICTED, TRUE).shape == (5,)


def test_no_constant_beats_the_best_one():
    rng = np.random.default_rng(0)
    true = rng.integers(2, 30, 200)
    best = best_constant_error(true)
    errors = [METRICS['count_error'].function(np.full((200, 1), c), true) for c in np.arange(0, 40, 0.25)]
    assert best == pytest.approx(min(errors))
    assert METRICS['count_error'].chance(1, true) == best
    assert METRICS['count_error'].chance(1) is None


@pytest.mark.parametrize(
    'predicted, true, sentence',
    [
        ([[1.0], [np.nan]], [1, 2], '1 of 2 videos have a score that is not finite, first row 1'),
        ([[1.0], [2.0]], [1, 0], 'the true count of row 1 is 0'),
        ([[1.0]], [1.5], 'whole numbers'),
        ([[1.0, 2.0]], [1], 'shape'),
        ([1.0], [1], 'shape'),
        (np.zeros((0, 1)), np.zeros(0, int), 'no video was counted'),
    ],
)
@pytest.mark.parametrize('metric', [name for name, m in METRICS.items() if m.task == 'repetition'])
def test_what_gives_no_error_is_refused(metric, predicted, true, sentence):
    with pytest.raises(ValueError, match=sentence):
        METRICS[metric].function(predicted, true)
