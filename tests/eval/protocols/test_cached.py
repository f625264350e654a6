"""Probes on cached features: one encoder pass for all of them, settings chosen on train alone, small banks."""

import numpy as np
import pytest

from eval.cells.cell import Cell, ResolvedCell
from eval.features import clips
from eval.features.clips import Features
from eval.protocols import get_protocol
from eval.protocols.cached import pooled
from sigma.errors import DataError


def resolve(toy, protocol: str, recipe: str, **changes) -> ResolvedCell:
    cell = Cell(protocol, str(toy), recipe, 'random', 0, changes=tuple(changes.items()))
    return ResolvedCell(cell, get_protocol(protocol))


PROBES = {
    'frozen_linear': 'frozen_demo',
    'frozen_knn': 'frozen_knn_demo',
    'frozen_knn_swept': 'frozen_knn_swept_demo',
    'frozen_centroid': 'frozen_centroid_demo',
    'frozen_sweep': 'frozen_sweep_demo',
}


@pytest.fixture
def given(monkeypatch):
    """Features that tests give instead of an encoder's: split -> Features."""
    found: dict[str, Features] = {}
    monkeypatch.setattr(clips, 'extract', lambda resolved, split, work_dir: found[split])
    return found


def features(values: np.ndarray, labels) -> Features:
    """(N, T', D) -> features of one view."""
    return Features([f'v{n}' for n in range(len(values))], np.array(labels), values[:, None].astype(np.float32), [])


def test_five_probes_make_one_pass_per_split(toy, tmp_path, monkeypatch):
    passes, own = [], clips._encode
    monkeypatch.setattr(clips, '_encode', lambda resolved, split: passes.append(split) or own(resolved, split))
    for protocol, recipe in PROBES.items():
        resolved = resolve(toy, protocol, recipe)
        outcome = resolved.protocol.run(resolved, tmp_path)
        assert outcome.scores.shape == (20, 10)
        assert outcome.num_train == 40
    assert sorted(passes) == ['test', 'train']


def test_a_bank_smaller_than_k_votes_as_a_whole_and_the_record_says_so(toy, given):
    given['train'] = features(np.eye(4)[:, None], [0, 1, 2, 3])
    given['test'] = features(np.eye(4)[:, None], [0, 1, 2, 3])
    resolved = resolve(toy, 'frozen_knn', 'frozen_knn_demo')
    outcome = resolved.protocol.run(resolved, None)
    assert outcome.scores.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert outcome.notes[0] == 'k is 200, but the bank has 4 clips, which all vote'


def test_settings_are_chosen_without_test_labels(toy, given):
    rng = np.random.default_rng(0)
    values, labels = rng.standard_normal((60, 2, 5)), rng.integers(3, size=60)
    values += labels[:, None, None]
    given['train'] = features(values[:40], labels[:40])
    resolved = resolve(toy, 'frozen_knn_swept', 'frozen_knn_swept_demo')
    chosen = []
    for test_labels in (labels[40:], (labels[40:] + 1) % 3):
        given['test'] = features(values[40:], test_labels)
        outcome = resolved.protocol.run(resolved, None)
        chosen.append((outcome.notes[0], outcome.scores))
        assert outcome.notes[1].startswith('not a result: the best setting on test')
    assert chosen[0][0] == chosen[1][0]
    assert (chosen[0][1] == chosen[1][1]).all()


def test_order_is_in_time_and_not_in_mean(toy, given):
    up, down = np.array([[1, 0], [0, 1.0]]), np.array([[0, 1.0], [1, 0]])
    given['train'] = features(np.stack([up, down] * 5), [0, 1] * 5)
    given['test'] = features(np.stack([up, down]), [0, 1])
    resolved = resolve(toy, 'frozen_knn_swept', 'frozen_knn_swept_demo')
    outcome = resolved.protocol.run(resolved, None)
    assert 'pooling time' in outcome.notes[0]
    assert outcome.scores.argmax(axis=1).tolist() == [0, 1]
    assert np.ptp(pooled(given['test'], 'mean'), axis=0).max() == 0


def test_absent_classes_are_named_and_single_clips_are_refused(toy, given):
    given['train'], given['test'] = features(np.eye(3)[:, None], [0, 1, 2]), features(np.eye(3)[:2, None], [0, 3])
    resolved = resolve(toy, 'frozen_centroid', 'frozen_centroid_demo')
    notes = resolved.protocol.run(resolved, None).notes
    assert [note.partition(':')[0] for note in notes] == [
        '1 of 10 classes have no clip in train',
        '2 of 10 classes have no clip in test',
    ]
    resolved = resolve(toy, 'frozen_knn_swept', 'frozen_knn_swept_demo')
    with pytest.raises(DataError, match='single training clip'):
        resolved.protocol.run(resolved, None)


def test_episodes_are_scored_one_by_one_and_small_classes_named(toy, given):
    labels = np.repeat(np.arange(7), [6, 6, 6, 6, 6, 6, 2])
    given['test'] = features(np.eye(7)[labels][:, None], labels)
    resolved = resolve(toy, 'frozen_episodes_5way_1shot', 'frozen_episodes_5way_1shot_demo', episodes='30')
    outcome = resolved.protocol.run(resolved, None)
    assert (outcome.scores == 1).all()
    assert outcome.num_listed == len(outcome.videos) == 30
    assert outcome.notes[0] == 'listed and scored are 30 episodes, from 38 clips of 6 classes'
    assert outcome.notes[1].startswith('95 % interval over episodes: 100.00 +- 0.00;')
    assert outcome.notes[2].startswith('4 classes have fewer than 6 clips in test: ')
    resolved = resolve(toy, 'frozen_episodes_5way_1shot', 'frozen_episodes_5way_1shot_demo', queries='9')
    with pytest.raises(DataError, match='0 of 7 classes have that many'):
        resolved.protocol.run(resolved, None)


def test_a_head_is_chosen_without_test_labels(toy, given):
    rng = np.random.default_rng(0)
    values, labels = rng.standard_normal((60, 2, 5)), rng.integers(3, size=60)
    values += labels[:, None, None]
    given['train'] = features(values[:40], labels[:40])
    resolved = resolve(toy, 'frozen_sweep', 'frozen_sweep_demo', epochs='5')
    chosen = []
    for test_labels in (labels[40:], (labels[40:] + 1) % 3):
        given['test'] = features(values[40:], test_labels)
        outcome = resolved.protocol.run(resolved, None)
        chosen.append((outcome.notes[0], outcome.scores))
        assert outcome.notes[1].startswith('not a result: the best head on test')
    assert chosen[0][0] == chosen[1][0]
    assert (chosen[0][1] == chosen[1][1]).all()


@pytest.mark.parametrize('probe', ['frozen_knn', 'frozen_knn_swept', 'frozen_centroid', 'frozen_sweep'])
def test_the_record_says_that_clips_are_repeated_images(probe, toy, given):
    given['train'] = features(np.tile(np.eye(2), (3, 1))[:, None], [0, 1] * 3)
    given['test'] = features(np.eye(2)[:, None], [0, 1])
    resolved = resolve(toy, probe, f'{probe}_demo')
    resolved.dataset.info['stills'] = True
    assert 'stills: an image repeated 16 times' in resolved.protocol.run(resolved, None).notes
