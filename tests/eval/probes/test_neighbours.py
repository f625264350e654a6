"""Nearest neighbours and centroids against brute force and scikit-learn; ties; what is held out."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from eval.probes import neighbours
from eval.probes.held_out import held_out
from eval.probes.neighbours import CentroidProbe, NeighbourProbe, nearest
from sigma.engine.knn import knn_scores


def made(num: int, width: int = 6, classes: int = 4, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num, width)).astype(np.float32), rng.integers(classes, size=num)


def brute_force(bank, labels, queries, k, temperature, classes) -> np.ndarray:
    scores = np.zeros((len(queries), classes))
    for row, query in enumerate(queries):
        cosine = [float(query @ b / (np.linalg.norm(query) * np.linalg.norm(b))) for b in bank]
        for place in sorted(range(len(bank)), key=lambda n: (-cosine[n], n))[:k]:
            scores[row, labels[place]] += np.exp(cosine[place] / temperature)
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(('k', 'temperature'), [(1, 0.07), (5, 0.07), (30, 0.5)])
def test_votes_are_those_of_brute_force_in_blocks_of_any_size(k, temperature, monkeypatch):
    (bank, labels), (queries, _) = made(30), made(11, seed=1)
    expected = brute_force(bank, labels, queries, k, temperature, 4)
    whole = NeighbourProbe(bank, labels, 4).scores(queries, k, temperature)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    monkeypatch.setattr(neighbours, 'BLOCK_VALUES', 70)  # two queries at a time
    np.testing.assert_allclose(NeighbourProbe(bank, labels, 4).scores(queries, k, temperature), whole, atol=1e-6)


def test_votes_are_those_of_the_trainer_and_of_scikit_learn():
    (bank, labels), (queries, _) = made(40), made(9, seed=1)
    found = NeighbourProbe(bank, labels, 4).scores(queries, 7, 0.07)
    online = knn_scores(torch.tensor(queries), torch.tensor(bank), torch.tensor(labels), 4, k=7)
    np.testing.assert_allclose(found, online.numpy(), atol=1e-5)
    theirs = KNeighborsClassifier(7, metric='cosine', weights=lambda far: np.exp((1 - far) / 0.07)).fit(bank, labels)
    np.testing.assert_allclose(found, theirs.predict_proba(queries), atol=1e-5)


def test_one_search_serves_all_settings():
    (bank, labels), (queries, _) = made(30), made(5, seed=1)
    probe = NeighbourProbe(bank, labels, 4)
    several = probe.all_scores(queries, [(1, 0.07), (9, 0.2)])
    np.testing.assert_allclose(several[0], probe.scores(queries, 1, 0.07))
    np.testing.assert_allclose(several[1], probe.scores(queries, 9, 0.2))


def test_of_equal_values_the_first_counts():
    similarity = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5]])
    values, columns = nearest(similarity, 3)
    assert columns.tolist() == [[1, 4, 0], [4, 3, 2]]
    assert values[0].tolist() == pytest.approx([0.9, 0.9, 0.5])
    bank = np.repeat(made(1)[0], 6, axis=0)
    assert NeighbourProbe(bank, np.array([2, 0, 0, 1, 1, 1]), 3).scores(bank[:1], 1, 0.07).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(('k', 'temperature'), [(0, 0.07), (31, 0.07), (3, 0.0)])
def test_settings_out_of_range_are_refused(k, temperature):
    bank, labels = made(30)
    with pytest.raises(ValueError, match='1 to 30'):
        NeighbourProbe(bank, labels, 4).scores(bank, k, temperature)


def test_centroids_are_those_of_scikit_learn_on_unit_vectors():
    (values, labels), (queries, _) = made(50, classes=3), made(20, seed=1)
    found = CentroidProbe(values, labels, 5).scores(queries)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    centroids = NearestCentroid().fit(unit, labels).centroids_
    expected = queries @ centroids.T / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(centroids, axis=1))
    np.testing.assert_allclose(found[:, :3], expected, atol=1e-6)
    assert (found[:, 3:] == -1).all()


def test_a_share_of_each_class_is_held_out_and_single_clips_stay():
    labels = np.array([0] * 10 + [1] * 5 + [2] * 2 + [3])
    held = held_out(labels, 0.2, seed=0)
    assert np.bincount(labels[held], minlength=4).tolist() == [2, 1, 1, 0]
    assert (held_out(labels, 0.2, seed=0) == held).all()
    assert (held_out(labels, 0.2, seed=1) != held).any()
    with pytest.raises(ValueError, match='single'):
        held_out(np.arange(4), 0.2, seed=0)
