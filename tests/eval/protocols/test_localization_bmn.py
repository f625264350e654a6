"""mmaction2's BMN as a head: it finds what is there, its proposals get the right class, and a cell runs."""

import json

import numpy as np
import pytest
import torch

from eval.metrics.localization import mean_average_precision, pack_segments, recall_area
from eval.protocols.localization import FeatureSequence, Grid
from eval.protocols.localization_bmn import Proposer, fit_bmn, fit_namer, mean_within
from sigma.errors import DataError
from sigma.registry import MODELS
from tests.eval.tiny_localization import HEAD, resolve_bmn, write_long

TRAINING = {'epochs': 12, 'batch_size': 8, 'lr': 3e-3, 'weight_decay': 1e-4, 'milestone': 10, 'clip_norm': 40}


@pytest.fixture(scope='module')
def long(tmp_path_factory):
    return write_long(tmp_path_factory.mktemp('long'))


def network():
    torch.manual_seed(0)
    return MODELS.build(HEAD | {'feat_dim': 8, 'feature_extraction_interval': 1})


def actions(number, seed):
    """Videos of noise; during the segment of class c feature c is high."""
    rng, sequences, targets = np.random.default_rng(seed), [], []
    for video in range(number):
        start, length, label = rng.integers(2, 10), rng.integers(5, 12), rng.integers(0, 2)
        values = rng.normal(0, 0.3, (8, 24))
        values[label, start : start + length] += 2
        sequences.append(FeatureSequence(f'v{video}', torch.from_numpy(values).half(), Grid(0.25, 0.5), 12.0))
        targets.append(torch.tensor([[start - 0.5, start + length - 0.5, label]], dtype=torch.float32))
    return sequences, targets


def test_bmn_finds_segments_and_the_classifier_names_them():
    sequences, targets = actions(48, 0)
    tests, truths = actions(12, 1)
    true = [np.column_stack([s.grid.to_seconds(t[:, :2].numpy()), t[:, 2]]) for s, t in zip(tests, truths)]
    true, before = pack_segments(true, 3), network()
    fit_bmn(trained := network(), sequences, targets, TRAINING, seed=0)
    namer = fit_namer(sequences, targets, 1.0)
    areas = []
    for net in (before, trained):
        proposer = Proposer(net.eval(), namer, 2)
        rows = [proposer.proposals(one) for one in tests]
        areas.append(recall_area(pack_segments(rows, 4), true))
    found = [proposer.named(row, one, 1) for row, one in zip(rows, tests)]
    assert areas[1] > areas[0] + 5
    assert mean_average_precision(pack_segments(found, 4), true, (0.5,)) > 70
    wrong = [np.column_stack([row[:, :2], 1 - row[:, 2], row[:, 3]]) for row in found]
    assert mean_average_precision(pack_segments(wrong, 4), true, (0.5,)) < 20


def test_the_mean_is_of_the_steps_within():
    sequence = FeatureSequence('v', torch.arange(10.0).expand(2, 10).half(), Grid(0, 1), 10.0)
    assert mean_within(sequence, 2.0, 5.0).tolist() == [3.5, 3.5]
    assert mean_within(sequence, 2.2, 2.4).tolist() == [2, 2]
    assert mean_within(sequence, -3, -1).tolist() == [0, 0]


def test_a_cell_of_bmn_scores_every_video(long, tmp_path):
    resolved = resolve_bmn(long, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_1.mp4', 'test_2.mp4']
    assert (outcome.scores[..., 2] >= 0).any(axis=1).all()
    assert (outcome.num_train, outcome.num_train_skipped) == (3, 1)
    assert '1 training videos without an action are left out' in outcome.notes
    assert 'classes: a linear classifier on the mean features of each proposal' in outcome.notes
    file = tmp_path / 'scores.json'
    results = {f'test_{number}': [1, 0] for number in range(3)}
    file.write_text(json.dumps({'class': ['bright', 'striped'], 'results': results}))
    resolved = resolve_bmn(
        long, tmp_path, 'localization_bmn_external', f"length=24, external=dict(scores='{file}', top=1)"
    )
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert set(outcome.scores[..., 2].ravel()) <= {0, -1}


def test_what_does_not_fit_ends_in_a_sentence(long, tmp_path):
    with pytest.raises(DataError, match='resizes videos to 32 steps; its BMN takes 24'):
        resolve_bmn(long, tmp_path, length='length=32')
    sequences, targets = actions(3, 0)
    with pytest.raises(DataError, match='All training actions are of one class'):
        fit_namer(sequences, [torch.tensor([[1.0, 5.0, 0.0]])] * 3, 1.0)
