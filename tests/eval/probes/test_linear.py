"""The linear probe on features whose answer is known."""

import numpy as np
import pytest

from eval.probes.linear import LinearProbe


@pytest.fixture
def clusters():
    """60 features of classes 0 and 2, one unit apart in the first of 3 dimensions, with an offset and other scales."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 2], 30)
    values = rng.normal(0, 0.01, (60, 3))
    values[:, 0] += labels / 2
    return values * [1, 1000, 1] + [5, -7, 0], labels


def test_what_is_separable_is_told_apart_and_an_absent_class_has_no_probability(clusters):
    values, labels = clusters
    probe = LinearProbe(1.0, 1000).fit(values, labels)
    assert probe.predict(values).tolist() == labels.tolist()
    scores = probe.probabilities(values, 4)
    assert scores.shape == (60, 4)
    assert scores.sum(axis=1) == pytest.approx(np.ones(60))
    assert (scores[:, [1, 3]] == 0).all()
    assert (scores.argmax(axis=1) == labels).all()


def test_halfway_between_two_clusters_is_even(clusters):
    values, labels = clusters
    middle = (values[labels == 0].mean(axis=0) + values[labels == 2].mean(axis=0)) / 2
    assert LinearProbe(1.0, 1000).fit(values, labels).probabilities(middle[None], 3)[0] == pytest.approx(
        [0.5, 0, 0.5], abs=1e-3
    )


def test_more_regularisation_is_less_certain_and_the_same_data_give_the_same_probe(clusters):
    values, labels = clusters
    strong, weak = (LinearProbe(strength, 1000).fit(values, labels) for strength in (0.01, 100.0))
    assert strong.probabilities(values, 3).max() < weak.probabilities(values, 3).max()
    again = LinearProbe(100.0, 1000).fit(values, labels)
    assert np.array_equal(again.probabilities(values, 3), weak.probabilities(values, 3))
