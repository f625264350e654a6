"""Choosing a probe's strength by cross-validation."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eval.probes.choice import cross_validated

STRENGTHS = (0.001, 0.1, 10.0)


def features(num_clips: int, width: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) noisy clusters of three classes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_clips) % 3
    centres = 0.5 * rng.normal(size=(3, width))
    return (centres[labels] + rng.normal(size=(num_clips, width))).astype(np.float32), labels


@pytest.mark.parametrize('width', [10, 80])  # fewer and more features than clips
def test_equals_plain_cross_validation(width):
    """What standardising in each fold and fitting each strength on all features from zero gives."""
    values, labels = features(45, width)
    found = cross_validated(values, labels, STRENGTHS, 5, 90, 1000, seed=3)
    splits = list(RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=3).split(values, labels))
    for strength in STRENGTHS:
        right = 0
        for fit, held in splits:
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
            right += (probe.fit(values[fit], labels[fit]).predict(values[held]) == labels[held]).sum()
        assert found[strength] == pytest.approx(100 * right / 90, abs=1e-9)


def test_two_clips_fewer_hardly_move_the_best_accuracy():
    """U11: with 45 clips, one held-out fifth moved by 10 points and more when two clips went."""
    values, labels = features(45)
    whole = cross_validated(values, labels, STRENGTHS, 5, 200, 1000, seed=0)
    for gone in range(0, 45, 9):
        kept = np.delete(np.arange(45), [gone, gone + 1])
        part = cross_validated(values[kept], labels[kept], STRENGTHS, 5, 200, 1000, seed=0)
        assert abs(max(part.values()) - max(whole.values())) < 7


def test_every_clip_is_predicted_equally_often():
    values, labels = features(60)
    found = cross_validated(values, labels, (1.0,), 5, 500, 1000, seed=0)
    assert found[1.0] * 9 * 60 / 100 == pytest.approx(round(found[1.0] * 9 * 60 / 100))  # 9 divisions of 60 clips


def test_a_class_of_one_clip_is_wrong_alike_and_only_such_classes_are_refused():
    values, labels = features(31)
    labels = np.where(np.arange(31) == 30, 3, labels)
    assert set(cross_validated(values, labels, STRENGTHS, 5, 10, 1000, seed=0)) == set(STRENGTHS)
    with pytest.raises(ValueError, match='every class'):
        cross_validated(values[:3], np.arange(3), STRENGTHS, 5, 10, 1000, seed=0)
