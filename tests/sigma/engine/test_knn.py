"""Nearest neighbours: votes counted by hand, and what is refused."""

import math
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from sigma.data.cards import read_config
from sigma.engine.knn import OnlineKNN, interval, knn_scores, neighbours, online_knn
from sigma.errors import DataError
from sigma.registry import HOOKS
from tests.conftest import ROOT
from tests.sigma.models.test_models import TINY, tiny_sigma

TINY_ENCODER = {'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 64, 'num_frames': 4}

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
        cfg=SimpleNamespace(model=SimpleNamespace(encoder=TINY_ENCODER)),
        seed=0,
        epoch=0,
        iter=7,
        max_epochs=10,
        visualizer=SimpleNamespace(add_scalars=lambda scalars, step: added.append((scalars, step))),
        logger=SimpleNamespace(info=said.append),
    )
    return runner, added, said


def test_accuracy_of_an_encoder_that_knows_and_random_states_untouched(toy, monkeypatch, capsys):
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
    assert 'of 20 clips of 20 listed, bank of 40 of 40, k 3' in said[0]
    assert 'chance 10.00 %' in said[0]
    shown = capsys.readouterr().err
    assert shown == f'{said[0]}\n'
    # The model has the weights that this seed draws, so the random weights beside it score the same.
    low, high = interval(round(added[0][0]['knn/top1'] / 5), 20)
    top1 = added[0][0]['knn/top1']
    assert added[0][0]['knn/random_top1'] == top1
    assert f'top-1 {top1:.2f} % (95 % interval {low:.1f} to {high:.1f}; random weights {top1:.2f} %' in shown
    # An oracle instead of the encoder: each clip gives its class, in the order of the list.
    features, labels = hook._features(model, model.encoder, 'bank')
    assert features.shape == (40, 48)
    truth = [entry['label'] for entry in hook._clips['bank'].clips.entries]
    assert labels.tolist() == truth
    monkeypatch.setattr(
        hook,
        '_features',
        lambda *asked: (torch.eye(10)[_labels(hook, asked[-1])], torch.tensor(_labels(hook, asked[-1]))),
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


def test_by_default_few_of_the_bank_vote():
    assert [neighbours(n) for n in (1, 40, 224, 10_000, 40_000, 240_000)] == [1, 6, 15, 100, 200, 200]


def test_the_interval_is_wilsons():
    low, high = interval(8, 10)  # by hand: (0.8 + z^2/20 -+ z sqrt(0.016 + z^2/400)) / (1 + z^2/10), z = 1.96
    assert (low, high) == (pytest.approx(49.02, abs=0.01), pytest.approx(94.33, abs=0.01))


@pytest.mark.parametrize(
    ('name', 'sampler'),
    [
        ('small_sigma-mlp_vit-t_real', 'sigma.SampleSegments'),
        ('small_videomae_vit-t_real', 'sigma.SampleSegments'),
        ('demo_sigma-mlp_vit-t_toy', 'sigma.SampleDense'),
    ],
)
def test_pretraining_configs_of_every_sampling_take_it(name, sampler, toy):
    cfg = read_config(ROOT / 'mmaction_configs' / 'pretrain' / f'{name}.py')
    settings = online_knn(cfg, str(toy), every_epochs=3, k=7)
    assert settings['pipeline'][1] == {'type': sampler, 'num_clips': 1, 'test_mode': True} | settings['pipeline'][1]
    assert (settings['every_epochs'], settings['k']) == (3, 7)
    hook = HOOKS.build(settings)
    hook.before_train(None)
    assert hook._clips['queries'][0]['inputs'].shape == (3, 16, 64, 64)


def test_published_segments_are_taken_at_their_centres():
    pipeline = [{'type': 'sigma.OpenVideo'}, {'type': 'sigma.SampleSegments', 'num_frames': 4, 'offsets': 'published'}]
    loader = {'dataset': {'pipeline': pipeline}}
    cfg = Config({'model': {'encoder': TINY_ENCODER}, 'train_dataloader': loader})
    found = online_knn(cfg, 'toy')['pipeline'][1]
    assert found == {'type': 'sigma.SampleSegments', 'num_frames': 4, 'num_clips': 1, 'test_mode': True}


def test_what_has_no_meaning_is_refused(toy):
    with pytest.raises(DataError, match="'test' as bank and as queries"):
        OnlineKNN(str(toy), PIPELINE, bank_split='test')
    with pytest.raises(DataError, match='every_epochs 0'):
        OnlineKNN(str(toy), PIPELINE, every_epochs=0)
    with pytest.raises(DataError, match="Unknown dataset 'toyy'"):
        OnlineKNN('toyy', PIPELINE).before_train(fake(tiny_sigma())[0])
