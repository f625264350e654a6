"""Metrics of single labels against hand counts, the list of all metrics, and the predictions file."""

import sys
from pathlib import Path

import numpy as np
import pytest

from eval.metrics import (
    METRICS,
    corrupted,
    corrupted_localization,
    get_metric,
    localization,
    multi_label,
    other_metrics,
    read_predictions,
    repetition,
    score_predictions,
    top_k_correct,
    write_predictions,
)
from eval.metrics.classification import mean_class_accuracy, mean_class_prefix, top_k_accuracy
from eval.protocols.subsets import draw_seed, few_a_class

COMMITTED = Path(__file__).parents[2] / 'data' / 'records'
OF_CLASSES = [name for name, metric in METRICS.items() if metric.task == 'action_recognition']

# Four videos, three classes; the ranks of the true class are 0, 1, 2 and 0.
SCORES = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
LABELS = np.array([0, 1, 2, 2])


def test_top_k_by_hand():
    assert top_k_correct(SCORES, LABELS).tolist() == [True, False, False, True]
    assert top_k_accuracy(SCORES, LABELS) == 50
    assert top_k_accuracy(SCORES, LABELS, k=2) == 75
    assert top_k_accuracy(SCORES, LABELS, k=3) == 100
    assert top_k_accuracy(SCORES, LABELS, k=5) == 100  # fewer classes than five


def test_mean_class_by_hand():
    # Class 0: 1 of 1; class 1: 0 of 1; class 2: 1 of 2. A class without a video does not count.
    assert mean_class_accuracy(SCORES, LABELS) == pytest.approx(50)
    labels = np.array([0, 0, 0, 2])  # 1 of 1 would be the share; 0: rows 0, 1, 2 are all won by class 0
    assert mean_class_accuracy(SCORES, labels) == 100
    labels = np.array([0, 0, 2, 2])  # 2 of 2 and 1 of 2
    assert mean_class_accuracy(SCORES, labels) == 75
    # Not the mean of prefix accuracies (2/2 and 3/4), as a published evaluation had it.
    assert mean_class_accuracy(SCORES, labels) != pytest.approx(100 * (1 + 3 / 4) / 2)


def test_the_published_defect_by_hand():
    # Prefixes: 1 of 1, then 1 of 2, then 2 of 4.
    assert mean_class_prefix(SCORES, LABELS) == pytest.approx(100 * (1 + 1 / 2 + 2 / 4) / 3)
    assert mean_class_prefix(SCORES, np.array([0, 0, 2, 2])) == pytest.approx(100 * (1 + 3 / 4) / 2)


def test_the_published_defect_is_what_its_code_does():
    """The loop of the reference, which keeps appending to one list."""
    rng = np.random.default_rng(4)
    scores, labels = rng.random((200, 7)), rng.integers(0, 7, 200)
    correct, seen, values = top_k_correct(scores, labels), [], []
    for label in range(7):
        seen += correct[labels == label].tolist()  # never emptied
        values.append(np.mean(seen))
    assert mean_class_prefix(scores, labels) == pytest.approx(100 * np.mean(values))
    assert 'defect' in get_metric('mean_class_prefix').label
    assert not any('mean_class_prefix' in other_metrics(name) for name in METRICS)


@pytest.mark.parametrize('label', [0, 1, 2])
def test_a_constant_row_is_right_for_no_label(label):
    scores = np.zeros((1, 3))
    assert not top_k_correct(scores, [label], k=1)[0]
    assert not top_k_correct(scores, [label], k=2)[0]
    assert top_k_correct(scores, [label], k=3)[0]


def test_the_order_of_classes_decides_nothing():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 3, (500, 6)).astype(float), rng.integers(0, 6, 500)  # many ties
    order = rng.permutation(6)
    moved = np.argsort(order)[labels]
    for k in (1, 2, 5):
        np.testing.assert_array_equal(top_k_correct(scores, labels, k), top_k_correct(scores[:, order], moved, k))


@pytest.mark.parametrize(
    'scores, labels, sentence',
    [
        ([[0.1, np.nan], [0.1, 0.2]], [0, 1], '1 of 2 videos have a score that is not finite, first row 0'),
        ([[0.1, np.inf]], [0], 'not finite'),
        ([[0.1, 0.2]], [2], 'label 2 of row 0 is outside 0 to 1'),
        ([[0.1, 0.2]], [-1], 'label -1 of row 0 is outside 0 to 1'),
        ([[0.1, 0.2]], [0.5], 'whole numbers'),
        ([[0.1, 0.2]], [0, 1], 'shape'),
        (np.zeros((0, 2)), np.zeros(0, int), 'no video was scored'),
    ],
)
@pytest.mark.parametrize('metric', OF_CLASSES)
def test_what_gives_no_score_is_refused(metric, scores, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        METRICS[metric].function(scores, labels)


def test_k_starts_at_one():
    with pytest.raises(ValueError, match='k starts at 1'):
        top_k_accuracy(SCORES, LABELS, k=0)


@pytest.mark.parametrize('metric', OF_CLASSES)
def test_shares_of_the_videos_average_to_the_score(metric):
    rng = np.random.default_rng(1)
    scores, labels = rng.random((300, 12)), rng.integers(0, 12, 300)
    entry = METRICS[metric]
    weights = np.ones(300) / 300 if entry.weights is None else entry.weights(labels)
    assert weights.sum() == pytest.approx(1)
    assert 100 * entry.per_video(scores, labels) @ weights == pytest.approx(entry.function(scores, labels))
    assert (entry.unit, entry.higher_is_better) == ('percent', True)


def test_weights_of_mean_class_by_hand():
    # Classes of 4 and 2 videos; prefixes of 4 and 6.
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert METRICS['mean_class'].weights(labels) == pytest.approx([1 / 8] * 4 + [1 / 4] * 2)
    assert METRICS['mean_class_prefix'].weights(labels) == pytest.approx([5 / 24] * 4 + [1 / 12] * 2)


CORRECT, COUNTED = np.array([[1.0, 0.5], [0.0, 1.0]]), np.array([[False, True]] * 2)
TRUE, FOUND = np.array([[[0.0, 10, 0]]]), np.array([[[0.0, 10, 0, 0.9]]])


@pytest.mark.parametrize(
    'call, words',
    [
        (
            lambda: top_k_accuracy(SCORES, LABELS, k=2.5),
            'top-2.5 accuracy was asked for, but k starts at 1 and is a whole',
        ),
        (lambda: top_k_accuracy(SCORES, LABELS, k=True), 'k starts at 1'),
        (lambda: top_k_accuracy(SCORES.astype(np.uint8), LABELS), 'scores are uint8; need floats'),
        (lambda: top_k_accuracy(SCORES.astype(complex), LABELS), 'scores are complex128'),
        (lambda: METRICS['mean_class'].weights(np.array([])), 'need whole numbers, one per video'),
        (
            lambda: multi_label.mean_average_precision(
                np.array([[0], [1], [2]], np.uint8), np.eye(3, dtype=bool)[:, 2:]
            ),
            'uint8',
        ),
        (
            lambda: multi_label.average_precision(np.array([0.1, 0.2]), np.array([False, False])),
            'none of 2 videos is positive',
        ),
        (lambda: multi_label.average_precision(np.array([0.1, np.nan]), np.array([True, False])), 'not finite'),
        (lambda: multi_label.average_precision(np.array([0.1, 0.2]), np.array([True])), 'shape'),
        (lambda: multi_label.average_precision(np.array([0, 1], np.uint8), np.array([False, True])), 'uint8'),
        (lambda: multi_label.mean_prevalence(np.zeros((3, 2), bool)), 'no class has a positive'),
        (lambda: multi_label.mean_prevalence(np.ones((3, 2))), 'need bool'),
        (lambda: repetition.rounded_counts(np.array([1.0, np.nan])), '1 of 2 counts are not finite'),
        (lambda: repetition.best_constant_error(np.array([], int)), 'no video was counted'),
        (lambda: repetition.best_constant_error(np.array([2, 0])), 'true count of row 1 is 0'),
        (lambda: repetition.absolute_errors(np.array([[np.inf]]), np.array([1])), 'not finite'),
        (lambda: corrupted.mean_corrupted(100 * CORRECT, COUNTED), 'are no shares from 0 to 1, first 100.0 in row 0'),
        (lambda: corrupted.clean_accuracy(CORRECT * np.nan, COUNTED), '4 of 4 values of `correct` are no shares'),
        (lambda: corrupted.ranks(np.array([1.0, np.nan])), 'a rank needs finite numbers'),
        (lambda: localization.recall_at(FOUND, TRUE, 0), 'AR@0 was asked for'),
        (lambda: localization.recall_at(FOUND, TRUE, 101), 'the curve ends at 100'),
        (lambda: localization.recall_at(FOUND, TRUE, 1.5), 'AR@1.5 was asked for'),
        (lambda: localization.resampled_recall_at(FOUND, TRUE, 0), 'AR@0 was asked for'),
        (lambda: localization.mean_average_precision(FOUND, TRUE, ()), 'need at least one, each in'),
        (lambda: localization.mean_average_precision(FOUND, TRUE, (0.5, 50)), r'\[0.5, 50.0\]; need at least one'),
        (lambda: localization.average_precisions(FOUND, TRUE, (np.nan,)), 'need at least one'),
        (lambda: localization.resampled_mean_average_precision(FOUND, TRUE, (0,)), 'need at least one'),
        (lambda: localization.mean_average_precision(FOUND.astype(np.uint8), TRUE), 'predicted segments are uint8'),
        (
            lambda: localization.mean_average_precision(FOUND, TRUE + 0.5),
            'classes that are no whole numbers, first 0.5',
        ),
        (lambda: localization.temporal_iou(np.array([0, np.nan]), np.array([0, 1])), '1 segments are not finite'),
        (lambda: localization.temporal_iou(np.array([5, 1]), np.array([0, 1])), 'end before they start'),
        (lambda: localization.pack_segments([np.ones((2, 1))], 4), 'segments of video 0 have shape'),
        (lambda: corrupted_localization.clean(np.append(FOUND, [[[0]]], 2), TRUE, (0.5,)), 'no column but the clean'),
        (lambda: corrupted_localization.worst(np.append(FOUND, [[[1]]], 2), TRUE, ()), 'need at least one'),
    ],
)
def test_s3_nonsense_ends_in_a_sentence(call, words):
    """S3: these gave a number, NaN, or an error of NumPy."""
    with pytest.raises(ValueError, match=words):
        call()


def test_s3_unsigned_segments_do_not_wrap():
    """S3: with uint8 the overlap of two segments apart was not 0."""
    assert localization.temporal_iou(np.array([0, 10], np.uint8), np.array([20, 30], np.uint8)) == 0


def test_s3_the_lowest_integer_stays_the_lowest():
    """S3: -(-128) is -128 in int8, so the worst score came first."""
    scores = np.array([-128, 5], np.int8)
    assert multi_label.average_precision(scores, np.array([False, True])) == 1


def test_s3_seeds_of_draws_are_not_negative():
    """S3: -1 took the last of the published seeds, 19."""
    assert [draw_seed(seed) for seed in (0, 1, 2, 3)] == [99999, 12345, 19, 3]
    for seed in (-1, 1.0, True):
        with pytest.raises(ValueError, match='a draw needs a whole number from 0'):
            draw_seed(seed)
    with pytest.raises(ValueError, match='0 clips per class'):
        few_a_class([0, 1], 0, 0)


def test_chance():
    assert METRICS['top1'].chance(10) == METRICS['mean_class'].chance(10) == 10
    assert METRICS['top5'].chance(20) == 25
    assert METRICS['top5'].chance(3) == 100
    assert METRICS['mean_average_precision'].chance(157) is None  # without labels it is not known
    assert METRICS['count_error_std'].chance(1) is None


@pytest.mark.parametrize(
    'primary, others',
    [
        ('top1', ['top5', 'mean_class']),
        ('mean_class', ['top1', 'top5']),
        ('mean_average_precision', ['num_classes_counted']),
        (
            'count_error',
            ['count_error_std', 'off_by_one', 'over_count', 'under_count', 'count_error_transrac'],
        ),
    ],
)
def test_what_a_record_stores_beside_its_score(primary, others):
    assert other_metrics(primary) == get_metric(primary).others == others


def test_predictions_come_back_and_score_the_same(tmp_path):
    path = tmp_path / 'a' / 'cell.predictions.npz'
    assert write_predictions(path, ['x/1.mp4', 'x/2.mp4', 'y ü.mp4', 'z.mp4'], LABELS.tolist(), SCORES) == path
    back = read_predictions(path)
    assert back.video.tolist() == ['x/1.mp4', 'x/2.mp4', 'y ü.mp4', 'z.mp4']
    assert (back.label.dtype, back.scores.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(back.scores, SCORES, rtol=1e-6)
    assert score_predictions(back, 'top1') == 50
    first = path.read_bytes()
    write_predictions(path, *back)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.version_info < (3, 11, 4), reason='older zipfile writes other headers')
def test_files_of_single_labels_keep_their_bytes(tmp_path):
    paths = sorted(COMMITTED.rglob('*.predictions.npz'))
    assert len(paths) == 8
    for path in paths:
        again = write_predictions(tmp_path / 'again.npz', *read_predictions(path))
        assert again.read_bytes() == path.read_bytes()


def test_several_labels_and_counts_come_back(tmp_path):
    several = np.array([[True, False], [False, False]])
    back = read_predictions(write_predictions(tmp_path / 'm.npz', ['a', 'b'], several, np.eye(2)))
    assert (back.label.dtype, back.label.tolist()) == (np.bool_, several.tolist())
    assert score_predictions(back, 'mean_average_precision') == 100
    back = read_predictions(write_predictions(tmp_path / 'c.npz', ['a', 'b'], [4, 12], [[3.6], [9.0]]))
    assert (back.label.tolist(), back.scores.shape) == ([4, 12], (2, 1))
    assert score_predictions(back, 'count_error') == pytest.approx((0 + 3 / 12) / 2)


@pytest.mark.parametrize(
    'video, label, scores, sentence',
    [
        (['a', 'a'], [0, 1], np.zeros((2, 2)), 'a is there 2 times'),
        (['a'], [0, 1], np.zeros((2, 2)), '2 labels, but video names'),
        (['a', 'b'], [0, 1], np.full((2, 2), np.nan), 'not finite'),
        (['a', 'b'], [0, 2], np.zeros((2, 2)), 'label 2 of row 1 is outside 0 to 1'),
        (['a', 'b'], [3, -1], np.zeros((2, 1)), 'label -1 of row 1 is outside'),
        (['a', 'b'], [0, 1], np.zeros((3, 2)), 'one row per video'),
        (['a', 'b'], [0.0, 1.0], np.zeros((2, 2)), 'labels are float64'),
        (['a', 'b'], np.zeros((2, 3), bool), np.zeros((2, 2)), 'bool of the shape of the scores'),
        (['a', 'b'], np.zeros((2, 2), int), np.zeros((2, 2)), r'int64 of shape \(2, 2\)'),
        (['a', 'b'], np.zeros(2, bool), np.zeros((2, 2)), 'bool of the shape of the scores'),
    ],
)
def test_predictions_that_do_not_fit_are_not_written(tmp_path, video, label, scores, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_predictions(tmp_path / 'p.npz', video, label, scores)
    assert list(tmp_path.iterdir()) == []


def test_files_that_hold_no_predictions_are_named(tmp_path):
    for name, data in [('text', b'hello'), ('empty', b'')]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f'{name}: no predictions to be read'):
            read_predictions(tmp_path / name)
    np.savez(tmp_path / 'other.npz', video=np.array(['a']))
    with pytest.raises(ValueError, match=r'other\.npz: no predictions'):
        read_predictions(tmp_path / 'other.npz')
    np.savez(tmp_path / 'pickle.npz', video=np.array([{}], dtype=object), label=[0], scores=[[1.0, 0.0]])
    with pytest.raises(ValueError, match='allow_pickle=False'):
        read_predictions(tmp_path / 'pickle.npz')
    whole = write_predictions(tmp_path / 'cut.npz', ['a'], [0], [[1.0, 0.0]]).read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=r'cut\.npz: no predictions'):
        read_predictions(tmp_path / 'cut.npz')


def test_unknown_metric():
    with pytest.raises(ValueError, match="Unknown metric 'top_1'. Did you mean 'top1'"):
        get_metric('top_1')
    with pytest.raises(ValueError, match="Unknown metric 'count_eror'. Did you mean 'count_error'"):
        other_metrics('count_eror')


def test_the_commonest_answers_by_hand():
    labels = np.repeat(np.arange(7), (8, 5, 3, 2, 1, 1, 5))
    assert METRICS['top1'].commonest(labels) == 100 * 8 / 25
    assert METRICS['top5'].commonest(labels) == 100 * 23 / 25
    assert METRICS['mean_class'].commonest(labels) == pytest.approx(100 / 7)


def test_five_classes_have_no_top_5():
    assert other_metrics('top1', 5) == ['mean_class']
    assert other_metrics('top1', 6) == ['top5', 'mean_class']
