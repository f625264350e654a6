"""Few-shot episodes: what is drawn, and what features with a known answer score."""

import numpy as np
import pytest

from eval.metrics import METRICS
from eval.probes.episodes import Episode, draw_episodes, episode_accuracy

LABELS = np.repeat(np.arange(6), [9, 8, 7, 9, 3, 20])


def test_an_episode_holds_other_queries_than_support_and_its_classes_alone():
    for one in draw_episodes(LABELS, 3, 2, 5, 50, seed=0):
        assert one.support.shape == (3, 2)
        assert one.queries.shape == (3, 5)
        clips = np.concatenate([one.support, one.queries], axis=1)
        assert len(set(clips.ravel().tolist())) == clips.size
        assert (LABELS[clips] == one.classes[:, None]).all()
        assert len(set(one.classes.tolist())) == 3
        assert 4 not in one.classes  # three clips, seven are needed


def test_every_large_class_is_drawn_and_a_seed_gives_the_same_episodes():
    first, again, other = (list(draw_episodes(LABELS, 2, 1, 5, 60, seed)) for seed in (0, 0, 1))
    assert {label for one in first for label in one.classes.tolist()} == {0, 1, 2, 3, 5}
    assert all((a.support == b.support).all() and (a.queries == b.queries).all() for a, b in zip(first, again))
    assert any((a.support != b.support).any() for a, b in zip(first, other))
    fewer = list(draw_episodes(LABELS, 2, 1, 5, 3, seed=0))
    assert all((a.queries == b.queries).all() for a, b in zip(fewer, first))


def test_episodes_share_clips_so_their_spread_gives_no_interval_and_no_verdict():
    metric = METRICS['episode_accuracy']
    assert metric.per_video is None
    assert metric.resampled is None
    assert metric.function(np.array([[0.2], [0.6]]), np.zeros(2, int)) == pytest.approx(40)
    assert metric.chance(20, None) == 5


def test_too_few_classes_are_one_sentence():
    with pytest.raises(ValueError, match=r'5-way episodes of 1 \+ 8 clips .* 3 of 6 classes have that many'):
        next(draw_episodes(LABELS, 5, 1, 8, 1, seed=0))


def test_accuracy_by_hand():
    # Means (1, 0) and (0, 1). The queries of class 0: right, wrong; of class 1: right, and a tie, which is wrong.
    values = np.array([[1, 0], [0, 1], [2, 1], [1, 3], [0, 5], [1, 1.0]])
    one = Episode(np.array([7, 9]), np.array([[0], [1]]), np.array([[2, 3], [4, 5]]))
    assert episode_accuracy(values, one) == 0.5


def test_random_features_are_at_chance_and_separate_classes_are_right():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 20)
    noise = rng.standard_normal((160, 16))
    episodes = list(draw_episodes(labels, 5, 1, 15, 300, seed=0))
    assert np.mean([episode_accuracy(noise, one) for one in episodes]) == pytest.approx(0.2, abs=0.02)
    apart = noise + 100 * np.eye(16)[labels]
    assert np.mean([episode_accuracy(apart, one) for one in episodes]) == 1
