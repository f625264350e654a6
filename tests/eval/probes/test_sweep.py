"""Heads trained together: each is the head trained alone, and the one that PyTorch trains."""

import numpy as np
import pytest
import torch

from eval.probes.sweep import Head, SweptProbe, grid


def made(num: int = 50, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=num)
    mean = (rng.standard_normal((num, 4)) + 2 * np.eye(4)[labels]).astype(np.float32)
    return {'mean': mean, 'time': np.concatenate([mean, 3 * mean[:, ::-1]], axis=1)}, labels


def test_a_grid_holds_every_combination():
    heads = grid(('mean', 'time'), (0.1, 0.01), (0.0, 0.3))
    assert len(set(heads)) == 8
    assert str(heads[1]) == 'learning rate 0.1, weight decay 0.3, pooling mean'


def test_a_head_among_others_is_the_head_alone():
    (values, labels), (queries, _) = made(), made(seed=1)
    heads = grid(('time', 'mean'), (1.0, 0.1, 0.01), (0.0, 0.1))
    together = SweptProbe(heads, 4, 16, seed=3).fit(values, labels, 3)
    for head in heads:
        alone = SweptProbe([head], 4, 16, seed=3).fit(values, labels, 3)
        expected = alone.probabilities(queries, head)
        np.testing.assert_allclose(together.probabilities(queries, head), expected, atol=1e-6)


def test_a_head_is_what_pytorch_trains():
    values, labels = made()
    head, epochs, size = Head('mean', 0.2, 0.05), 3, 16
    found = SweptProbe([head], epochs, size, seed=5).fit(values, labels, 3).probabilities(values, head)
    x = values['mean']
    x, y = torch.tensor((x - x.mean(0)) / x.std(0)), torch.tensor(labels)
    layer = torch.nn.Linear(4, 3)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    groups = [{'params': [layer.weight], 'weight_decay': 0.05}, {'params': [layer.bias], 'weight_decay': 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + np.cos(np.pi * step / 12)))
    order = torch.Generator().manual_seed(5)
    for _ in range(epochs):
        for batch in torch.randperm(50, generator=order).split(size):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
    np.testing.assert_allclose(found, layer(x).softmax(dim=1).detach().numpy(), atol=1e-5)


def test_accuracies_are_those_of_the_probabilities_and_a_diverged_head_has_none():
    (values, labels), (queries, truth) = made(), made(seed=1)
    heads = [Head('mean', 0.1, 0.0), Head('mean', 1e3, 1e3), Head('time', 0.01, 0.0)]
    probe = SweptProbe(heads, 20, 16, seed=0).fit(values, labels, 3)
    found = probe.accuracies(queries, truth)
    for place in (0, 2):
        right = probe.probabilities(queries, heads[place]).argmax(axis=1) == truth
        assert found[place] == pytest.approx(100 * right.mean())
    assert found[0] > 70
    assert found[1] == -1


def test_a_feature_that_never_changes_does_no_harm():
    values, labels = made()
    values['mean'][:, 0] = 7
    probe = SweptProbe([Head('mean', 0.1, 0.0)], 5, 16, seed=0).fit(values, labels, 3)
    assert np.isfinite(probe.probabilities(values, probe.heads[0])).all()
