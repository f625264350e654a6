"""The head by its parts: attention against all pairs, targets by hand, losses by formula, suppression by hand."""

import math

import numpy as np
import pytest
import torch

from eval.metrics.localization import mean_average_precision, pack_segments
from eval.models.actionformer import ActionFormer, assign, distance_iou_loss, focal_loss, local_attention
from eval.models.segments import fuse, soft_nms, suppress, vote
from eval.protocols.localization import FeatureSequence, Grid, cut_out, detect, fit_actionformer, pad

TRAINING = {
    'epochs': 25,
    'warmup_epochs': 2,
    'batch_size': 8,
    'lr': 2e-3,
    'weight_decay': 0.05,
    'ema_decay': 0.9,
    'clip_norm': 1.0,
    'crop': (0.8, 1.0),
}
SUPPRESSION = {'sigma': 0.5, 'class_wise_voting': 0.7, 'most': 50, 'before': 500, 'shortest_steps': 0.0}
CONFIG = {'longest': None, 'training': TRAINING, 'suppression': SUPPRESSION}


def small(**changes):
    torch.manual_seed(0)
    settings = {'width': 16, 'num_heads': 2, 'num_levels': 3, 'num_stem': 1, 'window': 5, 'num_positives': 20.0}
    return ActionFormer(6, 2, **settings | changes)


@pytest.mark.parametrize(('num_steps', 'window'), [(70, 5), (32, 19), (9, 7)])
def test_local_attention_is_attention_to_near_steps_that_are_there(num_steps, window):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, num_steps, 4)
    mask = torch.ones(2, num_steps, dtype=torch.bool)
    mask[1, num_steps * 2 // 3 :] = False
    away = (torch.arange(num_steps)[:, None] - torch.arange(num_steps)).abs()
    allowed = (away <= window // 2) & mask[:, None, None, :] | (away == 0)
    weight = (query @ key.transpose(-1, -2) / 2).masked_fill(~allowed, -math.inf).softmax(-1)
    assert torch.allclose(local_attention(query, key, value, mask, window), weight @ value, atol=1e-5)


def test_padding_changes_nothing():
    head, features = small().eval(), torch.randn(1, 6, 16)
    alone = head(features, torch.ones(1, 16, dtype=torch.bool))
    padded, mask = pad([features[0], torch.randn(6, 32)], 4)
    both = head(padded, mask)
    places = torch.cat([torch.arange(16), 32 + torch.arange(8), 48 + torch.arange(4)])  # of 32, 16 and 8 points
    for one, two in zip(alone[:2], both[:2]):
        assert torch.allclose(one[0], two[0, places], atol=1e-5)
    assert both[2][0].nonzero()[:, 0].tolist() == places.tolist()


def test_points_have_their_places_and_ranges():
    points = small().points(8)
    assert points[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 2, 4, 6, 0, 4]
    assert points[[0, 8, 12], 1:].tolist() == [[0, 4, 1], [4, 8, 2], [8, math.inf, 4]]


def test_targets_by_hand():
    points = small().points(32)
    classes, ends = assign(points, torch.tensor([[2.0, 8.0, 1.0], [4.0, 6.0, 0.0]]), 2, radius=1.5)
    first = {int(points[n, 0]): classes[n].tolist() for n in range(32) if classes[n].any()}
    # level 0 learns what ends within 4 steps: around the middle (5) both segments, and the shorter one is taken
    # strictly inside: 5 of both; 4 and 6 lie on the border of the shorter, so they learn the longer
    assert first == {4: [0, 1], 5: [1, 0], 6: [0, 1]}
    assert ends[5].tolist() == [1, 1]
    assert ends[4].tolist() == [2, 4]
    # level 1 learns the longer one where its farther end is 4 away, which both levels include
    assert classes[32:].nonzero().tolist() == [[2, 1], [3, 1]]


def test_two_classes_share_a_segment_and_longer_ones_go_to_higher_levels():
    points = small().points(32)
    classes, ends = assign(points, torch.tensor([[4.0, 16.0, 0.0], [4.0, 16.0, 1.0]]), 2, radius=1.5)
    level1 = classes[32:48]
    assert level1[5].tolist() == [1, 1]  # place 10, the middle: 6 away from both ends
    assert not classes[:32].any()
    assert ends[32 + 5].tolist() == [3, 3]  # in strides of 2
    nothing, _ = assign(points, torch.zeros(0, 3), 2, 1.5)
    assert not nothing.any()


def test_losses_by_formula():
    logit = torch.tensor([0.0, 2.0])
    chance = 1 / (1 + math.exp(-2))
    wanted = [0.25 * 0.25 * math.log(2), 0.75 * chance**2 * -math.log(1 - chance)]
    assert focal_loss(logit, torch.tensor([1.0, 0.0])).tolist() == pytest.approx(wanted)
    # [0, 10] against [2, 8] around 5: IoU 0.6, same middle; [5, 15] against [0, 10] from 7: IoU 1/3, 5 apart in 15
    found = torch.tensor([[5.0, 5.0], [2.0, 8.0]])
    true = torch.tensor([[3.0, 3.0], [7.0, 3.0]])
    assert distance_iou_loss(found, true).tolist() == pytest.approx([0.4, 1 - 1 / 3 + (5 / 15) ** 2])


def test_soft_nms_and_voting_by_hand():
    segments = np.array([[0.0, 10], [0, 8], [20, 30]])
    places, scores = soft_nms(segments, np.array([0.9, 0.8, 0.7]), sigma=0.5, most=3)
    assert places.tolist() == [0, 2, 1]
    assert scores.tolist() == pytest.approx([0.9, 0.7, 0.8 * math.exp(-(0.8**2) / 0.5)])
    assert soft_nms(segments, np.array([0.9, 0.8, 0.7]), 0.5, most=1)[0].tolist() == [0]
    assert soft_nms(segments, np.zeros(3), 0.5, 3)[0].tolist() == [0]  # as published, the best one stays
    voted = vote(segments[:1], segments, np.array([0.9, 0.8, 0.7]), 0.7)
    assert voted[0].tolist() == pytest.approx([0, (0.9 * 10 + 0.64 * 8) / (0.9 + 0.64)])
    assert vote(segments[:1], segments, np.ones(3), 1.0)[0].tolist() == [0, 10]


def test_suppression_is_by_class_so_that_one_segment_may_stand_under_two():
    rows = np.array([[0, 10, 0, 0.9], [0, 10, 1, 0.8], [0, 10, 0, 0.7]])
    kept = suppress(rows, {'sigma': 0.1, 'voting': 0, 'most': 10})
    assert kept.tolist() == [[0, 10, 0, 0.9], [0, 10, 1, 0.8]]  # 0.7 x exp(-10) is below 0.001
    assert suppress(rows[:0], SUPPRESSION).shape == (0, 4)


def test_external_scores_name_proposals():
    rows = fuse(np.array([[0, 10, 0, 0.5], [5, 9, 0, 0.4]]), np.array([0.1, 0.6, 0.3]), top=2)
    assert rows.tolist() == pytest.approx(
        np.array([[0, 10, 1, 0.3], [5, 9, 1, 0.24], [0, 10, 2, 0.15], [5, 9, 2, 0.12]]), abs=1e-12
    )


def test_parts_keep_segments_of_which_half_is_inside():
    torch.manual_seed(0)
    values, rows = torch.arange(40.0).expand(6, 40), torch.tensor([[10.0, 20.0, 1.0]])
    for _ in range(20):
        part, kept = cut_out(values, rows, 16, None)
        start = part[0, 0].item()
        inside = min(20, start + 16) - max(10, start)
        assert part.shape == (6, 16)
        assert inside >= 5
        assert kept.tolist() == [[max(10 - start, 0), min(20 - start, 16), 1]]
    assert cut_out(values, rows, None, None)[0] is values
    assert 20 <= cut_out(values, rows, None, (0.5, 0.6))[0].shape[1] <= 24


def actions(number, seed):
    """Videos of noise; during a segment of class c feature c is high."""
    rng, sequences, targets = np.random.default_rng(seed), [], []
    for video in range(number):
        values, rows = rng.normal(0, 0.3, (6, 48)), []
        for start in (4, 28):
            start, length, label = start + rng.integers(0, 6), rng.integers(5, 14), rng.integers(0, 2)
            values[label, start : start + length] += 1.5
            rows.append([start - 0.5, start + length - 0.5, label])
        grid = Grid(0.2, 0.4)
        sequences.append(FeatureSequence(f'v{video}', torch.from_numpy(values).half(), grid, 48 * 0.4))
        targets.append(torch.tensor(rows, dtype=torch.float32))
    return sequences, targets


def score(head, sequences, targets):
    found = [detect(head, one, CONFIG) for one in sequences]
    true = [np.column_stack([one.grid.to_seconds(t[:, :2].numpy()), t[:, 2]]) for one, t in zip(sequences, targets)]
    return mean_average_precision(pack_segments(found, 4), pack_segments(true, 3), (0.5,))


def test_a_trained_head_finds_actions_and_an_untrained_one_does_not():
    sequences, targets = actions(32, 0)
    tests = actions(12, 1)
    head = small(feature_dropout=0.0)
    before = score(head.eval(), *tests)
    trained = fit_actionformer(head, sequences, targets, CONFIG, seed=0)
    assert before < 20
    assert score(trained, *tests) > 80


def test_a_window_without_a_middle_is_refused():
    with pytest.raises(ValueError, match='window is 4'):
        small(window=4)
