"""Metrics of single labels against hand counts, the list of all metrics, and the predictions file."""

from pathlib import Path

import numpy as np
import pytest

from eval.metrics import (
    METRICS,
    get_metric,
    other_metrics,
    read_predictions,
    score_predictions,
    top_k_correct,
    write_predictions,
)
from eval.metrics.classification import mean_class_accuracy, mean_class_prefix, top_k_accuracy

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
    assert 100 * np.mean(entry.per_video(scores, labels)) == pytest.approx(entry.function(scores, labels))
    assert (entry.unit, entry.higher_is_better) == ('percent', True)


def test_spread_of_mean_class_shares_is_its_sampling_error():
    # Sum over classes of p (1 - p) / n_c, over C^2: class 0 is 2 of 4, class 1 is 1 of 2.
    scores = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [1, 0]], float)
    labels = np.array([0, 0, 0, 0, 1, 1])
    shares = METRICS['mean_class'].per_video(scores, labels)
    assert shares.var() / 6 == pytest.approx((0.25 / 4 + 0.25 / 2) / 2**2)
    # Prefixes of 4 and 6 videos: a video of class 0 weighs (1/4 + 1/6) / 2, one of class 1 weighs 1/6 / 2.
    shares = METRICS['mean_class_prefix'].per_video(scores, labels)
    assert shares.var() / 6 == pytest.approx(4 * 0.25 * (5 / 24) ** 2 + 2 * 0.25 * (1 / 12) ** 2)


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
