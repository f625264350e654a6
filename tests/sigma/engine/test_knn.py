"""Nearest neighbours: votes counted by hand, and what is refused."""

import math
import shutil
from types import SimpleNamespace

import pytest
import torch

from sigma.engine.knn import OnlineKNN, knn_scores
from sigma.errors import DataError
from tests.sigma.models.test_models import tiny_sigma

PIPELINE = [
    {'type': 'sigma.OpenVideo'},
    {'type': 'sigma.SampleDense', 'num_frames': 4, 'stride_frames': 2, 'test_mode': True},
    {'type': 'sigma.DecodeFrames'},
    {'type': 'sigma.ResizeSquare', 'size': 64},
]


def test_votes_counted_by_hand():
    bank = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [5.0, 0.0]])
    labels = torch.tensor([0, 1, 2, 1])
    query = torch.tensor([[7.0, 0.0]])  # cosines 1, 0, -1, 1
    found = knn_scores(query, bank, labels, 4, k=3, temperature=0.5)
    most, least = math.exp(1 / 0.5), math.exp(0)
    wanted = torch.tensor([[most, most + least, 0, 0]]) / (2 * most + least)
    torch.testing.assert_close(found, wanted)
    nearest = knn_scores(torch.tensor([[-1.0, 0.1]]), bank, labels, 4, k=1)
    assert nearest.tolist() == [[0, 0, 1, 0]]
    everyone = knn_scores(query, bank, labels, 4, k=200)  # more than there are
    assert float(everyone.sum()) == pytest.approx(1)
    assert int(everyone.argmax()) == 1
    assert knn_scores(100 * query, bank, labels, 4).isfinite().all()


def fake(model, **others):
    added, said = [], []
    runner = SimpleNamespace(
        model=model,
        epoch=0,
        iter=7,
        max_epochs=10,
        visualizer=SimpleNamespace(add_scalars=lambda scalars, step: added.append((scalars, step))),
        logger=SimpleNamespace(info=said.append),
    )
    return runner, added, said


def test_accuracy_of_an_encoder_that_knows_and_random_states_untouched(toy, monkeypatch):
    model = tiny_sigma().train()
    hook = OnlineKNN(str(toy), PIPELINE, every_epochs=2, k=3)
    runner, added, said = fake(model)
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    assert not added  # the first of every two
    runner.epoch = 1
    before = torch.get_rng_state()
    hook.after_train_epoch(runner)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert added[0][0]['knn/clips_scored'] == 20
    assert added[0][1] == 7
    assert 'of 20 clips of 20 listed, bank of 40 of 40, k 3, chance 10.00 %' in said[0]
    # An oracle instead of the encoder: each clip gives its class, in the order of the list.
    features, labels = hook._features(model, 'bank')
    assert features.shape == (40, 48)
    truth = [entry['label'] for entry in hook._clips['bank'].clips.entries]
    assert labels.tolist() == truth
    monkeypatch.setattr(
        hook, '_features', lambda _, role: (torch.eye(10)[_labels(hook, role)], torch.tensor(_labels(hook, role)))
    )
    hook.after_train_epoch(runner)
    assert added[1][0]['knn/top1'] == 100


def _labels(hook, role) -> list[int]:
    return [entry['label'] for entry in hook._clips[role].clips.entries]


def test_a_clip_that_breaks_is_left_out_by_name(toy, tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr('sigma.engine.knn.print_log', lambda text, *_: warned.append(text))
    copy = tmp_path / 'copy'
    shutil.copytree(toy, copy)
    hook = OnlineKNN(str(copy), PIPELINE, every_epochs=1)
    runner, added, _ = fake(tiny_sigma())
    hook.before_train(runner)
    broken = hook._clips['queries'].clips.entries[4]['filename']
    with open(broken, 'wb') as file:
        file.write(b'broken')
    hook.after_train_epoch(runner)
    hook.after_train_epoch(runner)
    assert added[0][0]['knn/clips_scored'] == 19
    (warning,) = warned  # once, although it occurs twice
    assert warning.startswith(f'kNN skips: {broken}: ')


def test_what_has_no_meaning_is_refused(toy):
    with pytest.raises(DataError, match="'test' as bank and as queries"):
        OnlineKNN(str(toy), PIPELINE, bank_split='test')
    with pytest.raises(DataError, match='every_epochs 0'):
        OnlineKNN(str(toy), PIPELINE, every_epochs=0)
    with pytest.raises(DataError, match="Unknown dataset 'toyy'"):
        OnlineKNN('toyy', PIPELINE).before_train(fake(tiny_sigma())[0])
