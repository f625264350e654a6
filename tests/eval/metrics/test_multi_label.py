"""Mean average precision against hand counts and scikit-learn, whole and resampled."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from eval.metrics import METRICS
from eval.metrics.multi_label import average_precision, mean_average_precision, num_classes_counted

RESAMPLED = METRICS['mean_average_precision'].resampled


def made_up(num=80, num_classes=9, ties=False):
    rng = np.random.default_rng(0)
    labels = rng.random((num, num_classes)) < np.linspace(0.05, 0.6, num_classes)
    scores = rng.normal(size=(num, num_classes)) + labels
    return (np.round(scores) if ties else scores), labels


def test_average_precision_by_hand():
    # In order of score: right, wrong, right, wrong. Precision 1 and 2/3 where recall rises by 1/2.
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    # The first two tie and enter together: precision 1/2, whichever stands first.
    for positive in ([True, False, False], [False, True, False]):
        assert average_precision(np.array([0.5, 0.5, 0.1]), np.array(positive)) == 0.5
    assert average_precision(np.zeros(4), np.array([True, False, False, False])) == 0.25


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('dtype', [np.float64, np.float32])
def test_equal_to_scikit_learn(ties, dtype):
    scores, labels = made_up(ties=ties)
    scores = scores.astype(dtype)
    for c in range(labels.shape[1]):
        wanted = average_precision_score(labels[:, c], scores[:, c])
        assert average_precision(scores[:, c], labels[:, c]) == pytest.approx(wanted, abs=1e-12)
    assert mean_average_precision(scores, labels) == pytest.approx(
        100 * average_precision_score(labels, scores, average='macro'), abs=1e-9
    )


def test_classes_without_positives_are_skipped_and_counted():
    scores, labels = made_up()
    whole = mean_average_precision(scores[:, 1:], labels[:, 1:])
    labels[:, 0] = False
    assert mean_average_precision(scores, labels) == whole
    assert num_classes_counted(scores, labels) == METRICS['num_classes_counted'].function(scores, labels) == 8
    assert METRICS['num_classes_counted'].unit == 'classes'
    with pytest.raises(ValueError, match='no class has a positive video'):
        mean_average_precision(scores, np.zeros_like(labels))


@pytest.mark.parametrize('ties', [False, True])
def test_resamples_score_as_if_the_videos_were_copied(ties):
    scores, labels = made_up(num=30, ties=ties)
    rng = np.random.default_rng(1)
    weights = np.stack([np.bincount(rng.integers(0, 30, 30), minlength=30) for _ in range(20)], axis=1)
    found = RESAMPLED(scores, labels)(weights.astype(np.float32))
    for b in range(20):
        copied = np.repeat(np.arange(30), weights[:, b])
        assert found[b] == pytest.approx(mean_average_precision(scores[copied], labels[copied]), abs=1e-4)
    once = RESAMPLED(scores, labels)(np.ones((30, 1)))
    assert once == pytest.approx([mean_average_precision(scores, labels)])


def test_chance_is_what_a_random_order_reaches():
    labels = np.zeros((1000, 3), bool)
    labels[:100, 0] = labels[:300, 1] = True  # the third class is not counted
    metric = METRICS['mean_average_precision']
    assert metric.chance(3, labels) == pytest.approx(20)
    rng = np.random.default_rng(2)
    reached = [metric.function(rng.random(labels.shape), labels) for _ in range(20)]
    assert np.mean(reached) == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    'scores, labels, sentence',
    [
        ([[0.1, np.nan]], [[True, False]], 'not finite'),
        ([[0.1, 0.2]], [[1, 0]], 'bool'),
        ([[0.1, 0.2]], [True], 'shape'),
        (np.zeros((0, 2)), np.zeros((0, 2), bool), 'no video was scored'),
    ],
)
@pytest.mark.parametrize('metric', ['mean_average_precision', 'num_classes_counted'])
def test_what_gives_no_score_is_refused(metric, scores, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        METRICS[metric].function(scores, labels)
    if metric == 'mean_average_precision':
        with pytest.raises(ValueError, match=sentence):
            RESAMPLED(scores, labels)
