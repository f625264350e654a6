"""Label propagation against the full affinity, and on a moving patch whose labels are known."""

from dataclasses import replace

import pytest
import torch

from eval.probes.propagation import RULES, propagate


def by_full_affinity(features, labels, rule):
    height, width = labels.shape[:2]
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()
    apart = (places[:, None] - places[None]).abs()
    far = apart.norm(dim=-1) if rule.circle else apart.amax(dim=-1)
    reach = far <= rule.radius if rule.edge else far < rule.radius
    flat = [torch.nn.functional.normalize(f.flatten(0, 1), dim=-1) for f in features]
    soft = [labels.flatten(0, 1)]
    for number in range(1, len(flat)):
        used = [0, *range(max(1, number - rule.context), number)]
        weights = []
        for place in used:
            weight = torch.exp(flat[number] @ flat[place].T / rule.temperature)
            weights.append(weight * reach if place or rule.window_on_first else weight)
        weight = torch.cat(weights, dim=1)
        weight[weight < weight.topk(rule.top, dim=1).values[:, -1:]] = 0
        soft.append(weight / weight.sum(dim=1, keepdim=True) @ torch.cat([soft[p] for p in used]))
    return torch.stack(soft).unflatten(1, (height, width))


@pytest.mark.parametrize('name', RULES)
def test_windows_give_what_the_full_affinity_gives(name):
    torch.manual_seed(0)
    rule = replace(RULES[name], context=3, radius=3)
    features, labels = torch.randn(7, 9, 11, 8), torch.eye(3)[torch.randint(3, (9, 11))]
    found = torch.stack(list(propagate(features, labels, rule)))
    torch.testing.assert_close(found, by_full_affinity(features, labels, rule), atol=1e-5, rtol=0)


def test_labels_follow_features_that_move():
    torch.manual_seed(0)
    scene, labels = torch.randn(8, 10, 32), torch.zeros(8, 10, 2)
    labels[..., 0] = 1
    labels[2:4, 2:4] = torch.tensor([0.0, 1.0])
    frames = [scene.roll(n, dims=1) for n in range(4)]
    found = list(propagate(frames, labels, replace(RULES['dino'], top=1)))
    assert torch.equal(found[3], labels.roll(3, dims=1))


def test_another_grid_is_refused():
    with pytest.raises(ValueError, match='frame 1'):
        list(propagate([torch.ones(4, 4, 2), torch.ones(4, 5, 2)], torch.ones(4, 4, 1), RULES['dino']))
