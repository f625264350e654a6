"""mAP and AR of actions in time: hand-drawn segments with known answers, and mmaction2's offline evaluation."""

import itertools
import json
import time

import numpy as np
import pytest

from eval.metrics import METRICS, Predictions, get_metric, other_metrics, read_predictions, write_predictions
from eval.metrics.localization import (
    ACTIVITYNET_TIOU,
    THUMOS_TIOU,
    average_precisions,
    average_recall,
    mean_average_precision,
    pack_segments,
    recall_area,
    recall_at,
    resampled_mean_average_precision,
    temporal_iou,
)


def pack(predicted, true):
    return pack_segments(predicted, 4), pack_segments(true, 3)


def draw(num_videos, num_classes=5, num_proposals=20, seed=0, most_true=4):
    """Truth, and predictions near it or anywhere, with scores that are all different."""
    rng = np.random.default_rng(seed)
    predicted, true = [], []
    for _ in range(num_videos):
        number = rng.integers(1, most_true + 1)
        start = rng.uniform(0, 80, number)
        rows = np.stack([start, start + rng.uniform(2, 20, number), rng.integers(0, num_classes, number)], axis=1)
        near = rows[rng.integers(0, number, num_proposals)].copy()
        near[:, :2] += rng.normal(0, 2, (num_proposals, 2))
        near[:, 1] = np.maximum(near[:, 1], near[:, 0] + 0.5)
        near[rng.random(num_proposals) < 0.3, 2] = rng.integers(0, num_classes)
        true.append(rows)
        predicted.append(np.column_stack([near, rng.random(num_proposals)]))
    return predicted, true


def test_three_hand_drawn_segments():
    # one video, one class; overlaps 1, 0.8 (second true segment), and a second hit on the first, which is false
    true = [[[0, 10, 0], [20, 30, 0], [50, 60, 0]]]
    predicted = [[[0, 10, 0, 0.9], [1, 10, 0, 0.8], [20, 28, 0, 0.7]]]
    found = average_precisions(*pack(predicted, true), (0.5, 0.8, 0.85))
    # true, false, true: precision 1 at recall 1/3, 2/3 at recall 2/3, of 3 true segments
    assert found[:, 0] == pytest.approx([(1 + 2 / 3) / 3, (1 + 2 / 3) / 3, 1 / 3])


def test_precision_is_interpolated():
    # false, true, true: precision 1/2 then 2/3; made to fall it is 2/3 at both
    predicted = [[[40, 45, 0, 0.9], [0, 10, 0, 0.8], [20, 30, 0, 0.7]]]
    assert average_precisions(*pack(predicted, [[[0, 10, 0], [20, 30, 0]]]), (0.5,))[0, 0] == pytest.approx(2 / 3)


def test_a_prediction_takes_the_free_true_segment_with_the_largest_overlap():
    # both predictions overlap both true segments by more than 0.3; the best takes the nearer, the second the other
    true, predicted = [[[0, 10, 0], [3, 13, 0]]], [[[3, 12, 0, 0.9], [2, 12, 0, 0.8]]]
    assert temporal_iou(np.array([2.0, 12]), np.array([0.0, 10])) == pytest.approx(8 / 12)
    assert average_precisions(*pack(predicted, true), (0.3, 0.65, 0.7))[:, 0] == pytest.approx([1, 1, 0.5])


def test_the_class_counts_and_so_does_the_video():
    true = [[[0, 10, 0]], [[0, 10, 1]]]
    assert mean_average_precision(*pack([[[0, 10, 0, 0.5]], [[0, 10, 1, 0.5]]], true)) == 100.0
    assert mean_average_precision(*pack([[[0, 10, 1, 0.5]], [[0, 10, 0, 0.5]]], true)) == 0.0
    assert mean_average_precision(*pack([[[0, 10, 0, 0.5], [0, 10, 1, 0.4]], []], true)) == 50.0


def test_the_same_segment_under_two_classes_can_be_found_twice():
    true = [[[5, 9, 4], [5, 9, 7]]]  # CliffDiving is Diving too
    assert mean_average_precision(*pack([[[5, 9, 4, 0.9], [5, 9, 7, 0.9]]], true), THUMOS_TIOU) == 100.0


def test_an_overlap_of_exactly_a_threshold_counts_also_in_single_precision():
    for tiou in ACTIVITYNET_TIOU:
        scores, labels = pack([[[0.1, 0.1 + 10 * tiou, 0, 1.0]]], [[[0.1, 10.1, 0]]])
        assert average_precisions(scores.astype(np.float32), labels, (tiou,))[0, 0] == 1
        assert average_precisions(scores.astype(np.float32), labels, (tiou + 0.01,))[0, 0] == 0


def test_equal_scores_enter_together_whatever_their_order():
    rows = [[0, 10, 0, 0.5], [40, 45, 0, 0.5]]
    for order in ([0, 1], [1, 0]):
        predicted = [[rows[i] for i in order]]
        assert average_precisions(*pack(predicted, [[[0, 10, 0]]]), (0.5,))[0, 0] == 0.5


def test_perfect_predictions_give_100_and_shuffled_classes_about_nothing():
    _, true = draw(300, num_classes=50)
    rng = np.random.default_rng(1)
    perfect = [np.column_stack([rows, rng.random(len(rows))]) for rows in true]
    for tiou in (ACTIVITYNET_TIOU, THUMOS_TIOU):
        assert mean_average_precision(*pack(perfect, true), tiou) == pytest.approx(100.0, abs=1e-9)
    shuffled = [np.column_stack([rows[:, :2], rng.integers(0, 50, len(rows)), rng.random(len(rows))]) for rows in true]
    assert mean_average_precision(*pack(shuffled, true)) < 2


def test_videos_may_have_no_prediction_or_no_truth():
    scores, labels = pack([[], [[0, 10, 0, 0.5]], [[0, 10, 0, 0.9]]], [[[0, 10, 0]], [[0, 10, 0]], []])
    # a false one in the video without truth comes first: precision 1/2 at recall 1/2
    assert average_precisions(scores, labels, (0.5,))[0, 0] == pytest.approx(0.25)
    nothing = pack_segments([[], [], []], 4)
    assert mean_average_precision(nothing, labels) == 0
    assert recall_area(nothing, labels) == 0
    # classes that no true segment has are left out
    other, _ = pack([[[0, 10, 3, 0.5]], [], []], [[], [], []])
    assert mean_average_precision(other, labels) == 0


@pytest.mark.parametrize('tiou', [ACTIVITYNET_TIOU, THUMOS_TIOU])
def test_map_equals_mmaction2s(tmp_path, tiou):
    from mmaction.evaluation.functional.eval_detection import ActivityNetLocalization

    predicted, true = draw(40)
    name, label = 'v_{:04d}'.format, 'class {}'.format
    truth = {
        name(i): {'annotations': [{'segment': list(row[:2]), 'label': label(int(row[2]))} for row in rows]}
        for i, rows in enumerate(true)
    }
    results = {  # their prediction files lack the first two characters of a name
        name(i)[2:]: [{'segment': list(r[:2]), 'label': label(int(r[2])), 'score': r[3]} for r in rows]
        for i, rows in enumerate(predicted)
    }
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    (tmp_path / 'found.json').write_text(json.dumps({'results': results}))
    theirs = ActivityNetLocalization(str(tmp_path / 'truth.json'), str(tmp_path / 'found.json'), np.array(tiou))
    each, mean = theirs.evaluate()
    ours = pack(predicted, true)
    assert 10 < 100 * mean < 90  # else the comparison would say little
    assert mean_average_precision(*ours, tiou) == pytest.approx(100 * mean, abs=1e-6)
    assert average_precisions(*ours, tiou).mean(axis=1) == pytest.approx(each, abs=1e-8)


@pytest.mark.parametrize('num_proposals', [7, 20, 150])
def test_recall_equals_mmaction2s(num_proposals):
    from mmaction.evaluation.functional.accuracy import average_recall_at_avg_proposals

    predicted, true = draw(30, num_proposals=num_proposals)
    predicted[3] = predicted[3][:2]
    _, theirs, _, area = average_recall_at_avg_proposals(
        {i: rows[:, :2] for i, rows in enumerate(true)},
        {i: rows[:, [0, 1, 3]] for i, rows in enumerate(predicted)},
        sum(map(len, predicted)),
        max_avg_proposals=100,
    )
    ours = pack(predicted, true)
    assert average_recall(*ours) == pytest.approx(100 * theirs, abs=1e-6)
    assert recall_area(*ours) == pytest.approx(area, abs=1e-6)
    assert recall_at(*ours, 10) == average_recall(*ours)[9]
    assert 5 < area < 95


# --- resamples ------------------------------------------------------------------------------------------------------


def resample(weights, arrays):
    """The videos again, each as often as its weight says."""
    return [np.repeat(array, weights.astype(int), axis=0) for array in arrays]


@pytest.mark.parametrize('tiou', [ACTIVITYNET_TIOU, THUMOS_TIOU, (0.5,)])
@pytest.mark.parametrize('ties', [False, True])
def test_resamples_score_as_if_the_videos_were_copied(tiou, ties):
    predicted, true = draw(25, num_classes=6, num_proposals=12)
    predicted[4], true[5] = predicted[4][:0], true[5][:0]  # no prediction; no truth
    if ties:
        for rows in predicted:
            rows[:, 3] = np.round(rows[:, 3], 1)
    arrays = pack(predicted, true)
    score = resampled_mean_average_precision(*arrays, tiou)
    once = np.ones((25, 1))
    assert score(once) == pytest.approx([mean_average_precision(*arrays, tiou)], abs=1e-12)
    rng = np.random.default_rng(3)
    weights = rng.multinomial(25, np.full(25, 1 / 25), size=12).T  # (N, B)
    weights = np.column_stack([weights, np.eye(25)[:, 0] * 25, np.arange(25) % 2])
    found = score(weights.astype(float))
    assert found == pytest.approx(
        [mean_average_precision(*resample(column, arrays), tiou) for column in weights.T], abs=1e-9
    )
    assert len(set(found.round(6))) > 8  # else the comparison would say little
    assert score(weights.astype(np.float32)) == pytest.approx(found, abs=1e-4)  # as the bootstrap gives them


def test_a_resample_without_truth_has_no_score_and_one_without_a_class_leaves_it_out():
    scores, labels = pack(
        [[[0, 10, 0, 0.9]], [[0, 10, 1, 0.5], [20, 30, 0, 0.95]], []], [[[0, 10, 0]], [[20, 30, 1]], []]
    )
    score = resampled_mean_average_precision(scores, labels, (0.5,))
    weights = np.array([[1, 1, 1], [1, 0, 2], [0, 2, 1], [0, 0, 3]], dtype=float).T
    # class 0: the false one comes first; class 1: found by nobody; then one class alone, or none
    assert score(weights).tolist()[:3] == [25.0, 100.0, 0.0]
    assert np.isnan(score(weights)[3])


def test_l3_recall_leaves_out_videos_without_truth():
    """L3: they counted in the number of videos, which raised how many proposals the others could keep.

    Two videos with a true segment and one without; each has 100 proposals, the true one is number 60 of the first.
    AR@50 keeps 50 of each video with truth; the third video made it 74, so that number 60 counted.
    """
    rows = np.column_stack([np.full(100, 50.0), np.full(100, 51.0), np.zeros(100), np.linspace(1, 0.01, 100)])
    first, second = rows.copy(), rows.copy()
    first[59, :2] = second[0, :2] = (0, 10)
    true = [[[0, 10, 0]], [[0, 10, 0]], []]
    scores, labels = pack([first, second, rows[:1]], true)
    alone = average_recall(scores[:2], labels[:2])
    assert recall_at(scores, labels, 50) == recall_at(scores[:2], labels[:2], 50) == 50
    assert average_recall(scores, labels) == pytest.approx(alone)
    weights = np.ones((3, 1))
    for name in ('recall_at_1', 'recall_at_10', 'recall_at_100', 'recall_area'):
        assert METRICS[name].resampled(scores, labels)(weights)[0] == pytest.approx(
            METRICS[name].function(scores, labels)
        )


def test_l4_recall_of_equal_scores_does_not_depend_on_the_order_of_rows():
    """L4: AR@1 was 100 or 0."""
    true = [[[0, 10, 0]]]
    hit, miss = [0, 10, 0, 0.5], [50, 60, 0, 0.5]
    for rows in ([hit, miss], [miss, hit]):
        assert average_recall(*pack([rows], true))[0] == pytest.approx(50)  # the mean over both orders
        assert METRICS['recall_at_1'].resampled(*pack([rows], true))(np.ones((1, 1))) == pytest.approx(50)


@pytest.mark.parametrize('seed', range(3))
def test_l4_recall_is_the_mean_over_all_orders_of_equal_scores(seed):
    """L4: four proposals of each video in two groups of equal scores, two that stand alone; 24 x 2 orders by hand."""
    rng = np.random.default_rng(seed)
    predicted, true = draw(1, num_classes=1, num_proposals=7, seed=seed + 5)
    rows = predicted[0]
    rows[:, 3] = [0.9, 0.7, 0.7, 0.7, 0.7, 0.5, 0.5]
    orders = [
        [0, *middle, *last]
        for middle in itertools.permutations([1, 2, 3, 4])
        for last in itertools.permutations([5, 6])
    ]
    apart = np.linspace(0.9, 0.1, 7)
    wanted = np.mean([average_recall(*pack([np.column_stack([rows[o][:, :3], apart])], true)) for o in orders], axis=0)
    shuffled = rows[rng.permutation(7)]
    assert average_recall(*pack([shuffled], true)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize('name', ['recall_at_1', 'recall_at_10', 'recall_at_100', 'recall_area'])
@pytest.mark.parametrize('num_proposals', [3, 160])
def test_recall_of_resamples_is_that_of_copied_videos(name, num_proposals):
    predicted, true = draw(15, num_proposals=num_proposals)
    predicted = [rows[: len(rows) * (video % 4) // 3] for video, rows in enumerate(predicted)]  # some have none
    arrays, metric = pack(predicted, [*true[:-2], [], []]), METRICS[name]
    weights = np.random.default_rng(4).multinomial(15, np.full(15, 1 / 15), size=8).T
    weights = np.column_stack([np.ones(15), weights, 15 * np.eye(15)[:, [0, 1]]])  # of video 0 nothing was predicted
    found = metric.resampled(*arrays)(weights.astype(np.float32))  # as the bootstrap gives them
    assert found == pytest.approx([metric.function(*resample(column, arrays)) for column in weights.T], abs=1e-9)
    assert found[-2] == 0
    assert len(set(found.round(6))) > 5
    assert np.isnan(metric.resampled(*arrays)(15 * np.eye(15)[:, [14]]))  # no truth


def test_every_figure_of_localization_has_an_interval():
    names = [name for name, metric in METRICS.items() if metric.task == 'localization']
    assert all(METRICS[name].resampled for name in names)
    arrays = pack(*draw(8))
    for name in names:
        found = METRICS[name].resampled(*arrays)(np.ones((8, 1)))
        assert found == pytest.approx([METRICS[name].function(*arrays)], abs=1e-12)


def test_5000_videos_of_100_proposals_take_less_than_30_seconds():
    # a tenth of it here: the time grows with the number of videos
    ours = pack(*draw(500, num_classes=200, num_proposals=100))
    begun = time.process_time()
    mean_average_precision(*ours)
    recall_area(*ours)
    assert time.process_time() - begun < 3


def test_predictions_of_segments_are_stored_and_give_the_same_score(tmp_path):
    scores, labels = pack(*draw(6))
    stored = Predictions(np.array([f'v{i}' for i in range(6)]), labels, scores.astype(np.float32))
    read = read_predictions(write_predictions(tmp_path / 'p.npz', *stored))
    assert np.array_equal(read.label, labels)
    for name in ('map_50_95', *other_metrics('map_50_95')):
        assert get_metric(name).function(read.scores, read.label) == METRICS[name].function(stored.scores, labels)
    assert {'map_30_70', 'map_50', 'map_75', 'map_95', 'recall_at_100', 'recall_area'} <= set(
        other_metrics('map_50_95')
    )
    with pytest.raises(ValueError, match='v0 is there 6 times'):
        write_predictions(tmp_path / 'q.npz', np.array(['v0'] * 6), labels, scores)


@pytest.mark.parametrize(
    ('predicted', 'true', 'words'),
    [
        ([[[5, 1, 0, 0.5]]], [[[0, 1, 0]]], '1 predicted segments .* end before they start'),
        ([[[0, 1, 0, np.nan]]], [[[0, 1, 0]]], '1 predicted segments are not finite'),
        ([[[0, 1, 0, 0.5]]], [[[3, 1, 0]]], '1 true segments'),
        ([[[0, 1, 0, 0.5]]], [[]], 'no video has a true segment'),
        ([[[0, 1, 0, 0.5]], []], [[[0, 1, 0]]], 'segments have shape'),
    ],
)
def test_segments_that_make_no_sense_end_in_a_sentence(predicted, true, words):
    with pytest.raises(ValueError, match=words):
        mean_average_precision(*pack(predicted, true))
