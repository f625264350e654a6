"""The protocol `localization` on tiny videos: whole cells, ground truth with flaws, external scores, the toy form."""

import json

import numpy as np
import pytest

from eval import run_cell
from eval.cells.cell import Cards
from eval.features.dense import DenseFeatures, DenseView
from eval.matrix.suites import SUITES
from eval.metrics import read_predictions, score_predictions, write_predictions
from eval.metrics.localization import pack_segments
from eval.models.truth import check_rules, read_truth
from eval.protocols import localization
from eval.protocols.localization import read_video_scores
from eval.records import predictions_path, read_records
from sigma.data.cards import CONFIG_ROOT, load_dataset_card
from sigma.datasets.published import read_lists
from sigma.datasets.toy import render as toy
from sigma.datasets.toy.forms import FORMS, LONG_FRAMES, actions_of
from sigma.datasets.toy.render import ToySpec, clip_frames, clip_motion
from sigma.datasets.toy.scenes import Pose
from sigma.errors import DataError
from sigma.video import FrameTimes
from tests.conftest import SHARED
from tests.eval.tiny_localization import FPS, TEST, TRAIN, resolve, resolve_bmn, write_long
from tools import rescore

ANNOTATIONS = SHARED / 'data' / 'annotations'
SUBSETS = (('a', 'training'), ('b', 'validation'), ('c', 'testing'))
needs_annotations = pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason='the annotations of ../shared are not here')


@pytest.fixture(scope='module')
def long(tmp_path_factory):
    return write_long(tmp_path_factory.mktemp('long'))


def entry(actions, video='v.mp4', total_frames=250):
    return {'video': video, 'annotation': {'actions': actions}, 'total_frames': total_frames, 'fps': 25.0}


# --- cells ----------------------------------------------------------------------------------------------------------


def test_a_cell_writes_a_record_that_names_its_rules(long, tmp_path, monkeypatch):
    resolved = resolve(long, tmp_path)
    monkeypatch.delenv('SIGMA_CELL_OF', raising=False)
    assert run_cell.main(['--work-dir', str(tmp_path), resolved.cell.to_json()]) == 0
    (record,) = read_records(tmp_path)
    assert record.score['metric'] == 'map_30_70'
    assert {'map_50_95', 'map_50', 'recall_at_10', 'recall_area'} <= set(record.score['others'])
    assert (record.dataset['num_listed'], record.dataset['num_scored'], record.dataset['num_train']) == (3, 3, 4)
    assert record.get('sampling.step_frames') == 4
    notes = '\n'.join(record.notes)
    assert 'each true segment once a threshold' in notes
    assert 'duplicates keep; shortest_seconds 0.0; ambiguous left out when prepared' in notes
    assert 'classes: by the head itself' in notes
    assert 'train: 1 videos without an action, kept, first in train_2.mp4' in notes
    assert '2 videos are shorter than a clip' in notes
    stored = read_predictions(predictions_path(record.path))
    assert score_predictions(stored, 'map_30_70') == pytest.approx(record.score['value'])
    true = stored.label[1][stored.label[1][:, 2] >= 0]
    assert true.tolist() == [[8 / FPS, 40 / FPS, 1], [8 / FPS, 40 / FPS, 0]]


def test_predictions_lie_in_their_videos_and_a_cell_repeats(long, tmp_path):
    resolved = resolve(long, tmp_path)
    first = resolved.protocol.run(resolved, tmp_path)
    real = first.scores[..., 2] >= 0
    assert real.any(axis=1)[:2].all()  # the third is a single step
    ends = np.array([60, 44, 7])[:, None] / FPS
    assert (first.scores[..., 0] >= 0).all()
    assert (first.scores[..., 1] <= ends + 1e-5).all()
    left = {path.name for path in resolved.folder(tmp_path).iterdir()}
    assert left == {localization.HEAD}  # the state of the training is gone
    again = resolved.protocol.run(resolved, tmp_path)
    assert np.array_equal(first.scores, again.scores)
    other = resolve(long, tmp_path, change=('step_frames=4', 'step_frames=8'))
    assert other.id != resolved.id


def test_perfect_predictions_of_the_cell_score_100(long, tmp_path, monkeypatch):
    truth = {e['video']: e['annotation']['actions'] for e in load_dataset_card(str(long)).entries('test')}
    monkeypatch.setattr(localization, 'fit_actionformer', lambda *arguments: None)
    monkeypatch.setattr(
        localization, 'detect', lambda head, one, *rest: np.array([[*row, 1.0] for row in truth[one.video]])
    )
    resolved = resolve(long, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    scores = outcome.scores.astype(np.float32)
    for name in ('map_30_70', 'map_50_95', 'map_95', 'recall_at_100'):
        assert localization_score(name, scores, outcome.labels) == pytest.approx(100.0, abs=1e-9)


def told(monkeypatch, tmp_path, dataset, answer):
    """Record of a cell whose head says `answer(actions of the video)`, and metric -> what tools/rescore.py says."""
    truth = {e['video']: e['annotation']['actions'] for e in load_dataset_card(str(dataset)).entries('test')}
    monkeypatch.setattr(localization, 'fit_actionformer', lambda *arguments: None)
    rows = {video: np.array([[*row, 1.0] for row in answer(actions)]) for video, actions in truth.items()}
    monkeypatch.setattr(localization, 'detect', lambda head, one, *rest: rows[one.video])
    monkeypatch.delenv('SIGMA_CELL_OF', raising=False)
    resolved = resolve(dataset, tmp_path)
    assert run_cell.main(['--work-dir', str(tmp_path), resolved.cell.to_json()]) == 0
    (record,) = read_records(tmp_path)
    return record, {line.metric: line for line in rescore.rescore(record, [])}


def test_perfect_predictions_rescore_to_100_and_other_labels_to_0(tmp_path, monkeypatch):
    """Through the record and the predictions beside it; actions lie apart: another class or another time is wrong."""
    test = ((60, ((4, 14, 0), (20, 34, 1), (40, 55, 0))), (60, ((10, 22, 1), (30, 50, 0))), (50, ((5, 40, 1),)))
    dataset = write_long(tmp_path / 'data', test=test)
    answers = {
        'perfect': (lambda actions: actions, 100.0),
        'classes': (lambda actions: [[start, end, 1 - label] for start, end, label in actions], 0.0),
        'times': (lambda actions: [[start + 30, end + 30, label] for start, end, label in actions], 0.0),
        'nothing': (lambda actions: [], 0.0),
    }
    for name, (answer, expected) in answers.items():
        (tmp_path / name).mkdir()
        record, lines = told(monkeypatch, tmp_path / name, dataset, answer)
        assert record.score['value'] == pytest.approx(expected, abs=1e-9)
        for metric in ('map_30_70', 'map_50_95', 'map_50'):
            assert lines[metric].state == 'same'
            assert lines[metric].recomputed == pytest.approx(expected, abs=1e-9)
        recall = {'perfect': 100.0, 'classes': 100.0}.get(name, 0.0)  # proposals have no class
        assert lines['recall_at_100'].recomputed == pytest.approx(recall, abs=1e-9)


def test_the_toy_form_scores_100_with_its_truth_and_little_with_labels_shuffled(tmp_path):
    """30 videos, 6 classes: a permutation of all labels leaves about a sixth where they were."""
    spec, rng = ToySpec(form='localization'), np.random.default_rng(0)
    found = toy.annotations(spec)
    videos = [video for video, _ in toy.entries(spec)['test']]
    truth = [
        np.array([[start, end, spec.classes.index(name)] for start, end, name in found[video]['actions']])
        for video in videos
    ]
    shuffled = iter(rng.permutation(np.concatenate(truth)[:, 2]).tolist())
    other = [np.column_stack([rows[:, :2], [next(shuffled) for _ in rows]]) for rows in truth]
    values = []
    for answer in (truth, other):
        scores = pack_segments([np.column_stack([rows, np.ones(len(rows))]) for rows in answer], 4, np.float32)
        write_predictions(tmp_path / 'p.npz', np.array(videos), pack_segments(truth, 3), scores)
        values.append(score_predictions(read_predictions(tmp_path / 'p.npz'), 'map_30_70'))
    assert values[0] == pytest.approx(100, abs=1e-9)
    assert values[1] < 6


def localization_score(name, scores, labels):
    from eval.metrics import get_metric

    return get_metric(name).function(scores, labels)


def test_resized_features_cover_the_video(long, tmp_path):
    resolved = resolve(long, tmp_path, change=('length=None', 'length=24'))
    view = localization.view_of(resolved)
    found, _ = localization.extract_dense(resolved, 'test', view, tmp_path, progress=False)
    own = localization.sequence_of(found[0], view, None)
    assert own.values.shape == (128, 12)
    assert own.grid.to_seconds(np.arange(12)) == pytest.approx(view.centres(12, FrameTimes.constant(60, FPS)))
    assert own.grid.to_steps(own.grid.to_seconds(3.0)) == pytest.approx(3.0)
    short = localization.sequence_of(found[2], view, None)  # 7 frames, of which a clip would need 15
    assert short.grid.to_seconds(np.zeros(1)) == pytest.approx([3.5 / FPS])
    resized = localization.sequence_of(found[0], view, 24)
    assert resized.values.shape == (128, 24)
    assert resized.grid.to_seconds(np.array([-0.5, 23.5])) == pytest.approx([0, 60 / FPS])
    assert resized.duration == 60 / FPS


@pytest.mark.parametrize('length', [8, 13, 40])
def test_resized_features_lie_at_their_exact_times(length):
    """A feature that tells the middle of its clip, in seconds, tells the middle of its part of the video."""
    view = DenseView(num_frames=16, stride_frames=2, step_frames=4, size=32)
    middles = view.centres(13, FrameTimes.constant(80, FPS))  # of a video of 80 frames, 0.64 to 2.56 s
    one = DenseFeatures('v.mp4', np.stack([middles, -middles], 1).astype(np.float16), 80, FPS)
    sequence = localization.sequence_of(one, view, length)
    parts = (np.arange(length) + 0.5) * 80 / FPS / length
    assert sequence.grid.to_seconds(np.arange(length)) == pytest.approx(parts)
    expected = np.clip(parts, 0.64, 2.56)  # beyond the middles of the first and last clip nothing is known
    assert sequence.values[0].numpy() == pytest.approx(expected, abs=2e-3)
    assert sequence.values[1].numpy() == pytest.approx(-expected, abs=2e-3)


@pytest.mark.parametrize('length', [None, 13, 40])
def test_features_of_a_variable_rate_lie_at_their_exact_times(length):
    view = DenseView(num_frames=16, stride_frames=2, step_frames=4, size=32)
    times = FrameTimes.listed([0.04 * n + 2 * (n >= 40) for n in range(80)])  # a pause of 2 s in the middle
    middles, places = view.centres(13, times), np.arange(13) * 4 + 16  # in seconds, and in frames
    one = DenseFeatures('v.mp4', np.stack([places, -places], 1).astype(np.float16), 80, times.fps, times)
    sequence = localization.sequence_of(one, view, length)
    steps = np.arange(sequence.values.shape[1])
    assert sequence.duration == 5.2
    seconds = sequence.grid.to_seconds(steps)
    assert seconds == pytest.approx(middles if length is None else (steps + 0.5) * 5.2 / length)
    assert sequence.grid.to_steps(seconds) == pytest.approx(steps)
    shown = np.clip(times.places_at(seconds), 16, 64)
    assert sequence.values[0].numpy() == pytest.approx(shown, abs=4e-2)
    # 1.5 s is in the frame before the pause, 3.7 s after it: in frames of the mean rate they would lie 34 apart.
    first, last = localization.sequence_of(one, view, None).grid.to_steps(np.array([1.56, 3.64])) * 4
    assert last - first == pytest.approx(2)


def test_standardised_features_have_no_mean_and_one_scale(long, tmp_path):
    resolved = resolve(long, tmp_path, change=('standardise=False', 'standardise=True'))
    assert resolved.config['standardise'] is True
    view = localization.view_of(resolved)
    found, _ = localization.extract_dense(resolved, 'test', view, tmp_path, progress=False)
    plain, own = (localization.sequence_of(found[0], view, None, flag).values.float() for flag in (False, True))
    assert plain.mean(dim=1).abs().max() > 0.1
    assert own.mean(dim=1).abs().max() < 2e-3
    assert own.square().mean().item() == pytest.approx(1, abs=1e-2)
    away = plain - plain.mean(dim=1, keepdim=True)
    assert np.allclose(own, away / away.square().mean().sqrt(), atol=5e-3)
    single = localization.sequence_of(found[2], view, None, True).values  # one step: nothing is left, and no NaN
    assert (single == 0).all()


def test_external_scores_are_another_protocol_and_name_the_classes(long, tmp_path):
    file = tmp_path / 'scores.json'
    file.write_text(
        json.dumps({'class': ['striped', 'bright'], 'results': {'test_0': [0.1, 0.9], 'v_test_1': [0.8, 0.2]}})
    )
    external = f"external=dict(scores='{file}', top=1), length=None"
    resolved = resolve(long, tmp_path, 'localization_external', change=('length=None', external))
    assert resolved.name.startswith('small_localization_external_long')
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_1.mp4']
    assert outcome.unscored == [{'video': 'test_2.mp4', 'reason': 'no external video-level scores'}]
    assert set(outcome.scores[0, :, 2]) <= {0, -1}
    assert set(outcome.scores[1, :, 2]) <= {1, -1}
    assert read_video_scores(file, ['bright', 'striped'])['test_1'].tolist() == [0.2, 0.8]
    before = resolved.id
    file.write_text(file.read_text().replace('0.9', '0.7'))
    assert resolve(long, tmp_path, 'localization_external', change=('length=None', external)).id != before


# --- ground truth ---------------------------------------------------------------------------------------------------


def test_flaws_of_the_ground_truth_are_counted_and_nothing_else_is_dropped():
    rules = check_rules({'duplicates': 'drop', 'shortest_seconds': 0.2})
    truth = read_truth(
        [
            entry([[1, 2, 0], [1, 2, 0], [1, 2, 1], [3, 3.1, 0], [5, 4, 0], [6, 7, 9]]),
            entry([], 'empty.mp4'),
            entry([[9, 12, 1], [20, 21, 0]], 'beyond.mp4'),
            entry([[-0.5, 1, 1]], 'before.mp4'),
        ],
        2,
        rules,
    )
    assert truth.segments['v.mp4'].tolist() == [[1, 2, 0], [1, 2, 1]]
    assert truth.segments['empty.mp4'].shape == (0, 3)
    assert truth.segments['beyond.mp4'].tolist() == [[9, 12, 1], [20, 21, 0]]
    assert truth.segments['before.mp4'].tolist() == [[-0.5, 1, 1]]
    assert truth.notes('test') == [
        'test: 1 actions of a class that the card does not know, left out, first in v.mp4',
        'test: 2 actions of no length or below 0.2 s, left out, first in v.mp4',
        'test: 1 second copies of actions, left out, first in v.mp4',
        'test: 1 videos without an action, kept, first in empty.mp4',
        'test: 2 actions that reach beyond the end of their video, kept, first in beyond.mp4',
        'test: 1 actions that begin before their video, kept, first in before.mp4',
    ]
    kept = read_truth([entry([[1, 2, 0], [1, 2, 0]])], 2, check_rules({}))
    assert len(kept.segments['v.mp4']) == 2
    assert 'second copies of actions, kept' in kept.notes('test')[0]


def test_blocked_videos_are_not_scored(long, tmp_path):
    folder = write_long(tmp_path / 'data', rules={'blocked': ['test_1.mp4']})
    resolved = resolve(folder, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_2.mp4']
    assert (outcome.num_listed, outcome.unscored) == (2, [])
    assert 'rules: 1 videos blocked' in outcome.notes


@pytest.mark.parametrize(
    ('actions', 'words'),
    [
        (None, 'v.mp4 has no actions in its annotations'),
        ([[0, float('nan'), 1]], 'times or class are not numbers'),
        ([['start', 2, 0]], r'v.mp4: an action must be \[start_seconds, end_seconds, class\]'),
        ([[1, 2], [3, 4], [5, 6]], 'v.mp4: an action must be'),  # six numbers, but no two actions
        (7, 'v.mp4: an action must be'),
    ],
)
def test_annotations_that_cannot_be_read_end_in_a_sentence(actions, words):
    bad = entry(actions) if actions else entry([]) | {'annotation': None}
    with pytest.raises(DataError, match=words):
        read_truth([bad], 2, check_rules({}))


def test_bad_input_ends_in_a_sentence(long, tmp_path):
    with pytest.raises(DataError, match="Unknown rule of the evaluator 'shortest'"):
        check_rules({'shortest': 1})
    with pytest.raises(DataError, match="duplicates is 'drp'"):
        check_rules({'duplicates': 'drp'})
    for shortest in (float('nan'), -1, float('inf'), '0.1', True):  # S3
        with pytest.raises(DataError, match='it must be a number of seconds'):
            check_rules({'shortest_seconds': shortest})
    with pytest.raises(DataError, match="blocked is 'v_1'; it must be a list"):
        check_rules({'blocked': 'v_1'})
    with pytest.raises(DataError, match='takes all training videos'):
        resolve(long, tmp_path, shots=5)
    with pytest.raises(DataError, match='lacks `external` video-level scores'):
        resolve(long, tmp_path, 'localization_external')
    external = "external=dict(scores='nowhere.json', top=2), length=None"
    with pytest.raises(DataError, match='has `external` video-level scores'):
        resolve(long, tmp_path, change=('length=None', external))
    with pytest.raises(DataError, match="'nowhere.json' is not there"):
        resolve(long, tmp_path, 'localization_external', change=('length=None', external))
    with pytest.raises(DataError, match='says step_frames'):
        resolve(long, tmp_path, change=('step_frames=4, ', ''))
    card = (long / 'dataset.py').read_text()
    try:
        (long / 'dataset.py').write_text(card.replace("'localization'", "'multi_label'"))
        with pytest.raises(DataError, match="a dataset for multi_label; localization needs one for 'localization'"):
            resolve(long, tmp_path)
    finally:
        (long / 'dataset.py').write_text(card)
    broken = tmp_path / 'scores.json'
    for text, words in (('{"results": {}}', 'video-level scores'), ('{"results": {}, "class": ["a"]}', 'lacks 1 of 2')):
        broken.write_text(text)
        with pytest.raises(DataError, match=words):
            read_video_scores(broken, ['a', 'b'])
    empty = write_long(tmp_path / 'empty', train=((40, ()),))
    nothing = resolve(empty, tmp_path)
    with pytest.raises(DataError, match='no training video has an action'):
        nothing.protocol.run(nothing, tmp_path)


def change_annotations(folder, **changes):
    """Other actions for some videos of a written dataset."""
    file = folder / 'annotations.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | {f'{v}.mp4': {'actions': a} for v, a in changes.items()}))


@pytest.mark.parametrize('protocol', ['localization', 'localization_bmn'])
def test_a_cell_counts_what_is_odd_and_goes_on(tmp_path, protocol):
    """Segments outside their video, of no known class, or none at all; a video without a frame rate."""
    folder = write_long(tmp_path / 'data', train=(*TRAIN, (30, ((4, 20, 0),))), test=(*TEST, (30, ((4, 20, 0),))))
    change_annotations(
        folder,
        train_0=[[-1, 0.8, 0], [1.6, 9, 1], [30, 40, 0]],
        train_1=[[0.2, 1, 7], [0.4, 1, 1]],
        test_0=[[50, 60, 0], [0.5, 1.2, 1]],
        test_1=[],
        test_2=[[0, 0.2, -3]],
    )
    lines = [json.loads(line) for line in (folder / 'index.jsonl').read_text().splitlines()]
    for line in lines:
        if line.get('path') in ('train_4.mp4', 'test_3.mp4'):
            line['fps'] = 0.0
    (folder / 'index.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    resolved = (resolve if protocol == 'localization' else resolve_bmn)(folder, tmp_path)
    outcome = resolved.protocol.run(resolved, tmp_path)
    assert outcome.videos == ['test_0.mp4', 'test_1.mp4', 'test_2.mp4']
    assert outcome.unscored == [{'video': 'test_3.mp4', 'reason': 'its frame rate is unknown'}]
    assert outcome.num_listed == 4
    assert outcome.num_train_skipped == (1 if protocol == 'localization' else 2)  # BMN learns nothing from train_2
    assert np.isfinite(outcome.scores).all()
    assert [int((rows[:, 2] >= 0).sum()) for rows in outcome.labels] == [2, 0, 0]
    wanted = {
        'train: 2 actions that reach beyond the end of their video, kept, first in train_0.mp4',
        'train: 1 actions that begin before their video, kept, first in train_0.mp4',
        'train: 1 actions of a class that the card does not know, left out, first in train_1.mp4',
        'test: 1 actions that reach beyond the end of their video, kept, first in test_0.mp4',
        'test: 1 actions of a class that the card does not know, left out, first in test_2.mp4',
        'test: 2 videos without an action, kept, first in test_1.mp4',
    }
    assert wanted <= set(outcome.notes)


def test_no_action_to_find_is_told_before_features_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(localization, 'extract_dense', lambda *arguments: pytest.fail('features were made'))
    empty = resolve(write_long(tmp_path / 'a', test=((40, ()), (9, ()))), tmp_path)
    with pytest.raises(DataError, match='long: no test video has an action; there is nothing to find'):
        empty.protocol.run(empty, tmp_path)
    blocked = resolve(write_long(tmp_path / 'b', rules={'blocked': [f'test_{n}.mp4' for n in range(3)]}), tmp_path)
    with pytest.raises(DataError, match='no test video has an action'):
        blocked.protocol.run(blocked, tmp_path)
    unknown = write_long(tmp_path / 'c')
    change_annotations(unknown, **{f'train_{n}': [[0, 1, 9]] for n in range(4)})
    unknown = resolve(unknown, tmp_path)
    with pytest.raises(DataError, match='no training video has an action; there is nothing to learn'):
        unknown.protocol.run(unknown, tmp_path)


def test_the_record_says_what_the_card_notes(tmp_path):
    resolved = resolve(write_long(tmp_path / 'data', note='concatenations, not recordings'), tmp_path)
    assert 'dataset: concatenations, not recordings' in resolved.protocol.run(resolved, tmp_path).notes


# --- the toy form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('number', range(12))
def test_a_mover_is_away_from_rest_between_start_and_end_and_nowhere_else(number):
    spec = ToySpec(form='localization')
    label = FORMS['localization'].label_of(number)
    motion = clip_motion(spec, 'train', label, number)
    actions = motion.annotation['actions']
    assert tuple(name for *_, name in actions) == actions_of(number)
    assert label == tuple(sorted(set(actions_of(number))))
    assert 3 <= len(actions) <= 5
    moving = np.array([any(pose != Pose() for pose in poses) for poses in motion.places])
    assert len(moving) == LONG_FRAMES
    inside, last = np.zeros(LONG_FRAMES, dtype=bool), 0
    for start, end, _ in actions:
        first, after = round(start * 25), round(end * 25)
        assert first - last >= 6
        assert 32 <= after - first <= 56
        inside[first + 1 : after] = True
        assert moving[first + 1]  # it leaves with the next frame, and has come back with the last
        assert moving[after - 1]
        last = after
    assert not (moving & ~inside).any()
    assert moving[inside].mean() > 0.9  # a whole period in between may pass through rest
    assert LONG_FRAMES - last >= 6


def test_pictures_change_while_an_action_runs_and_not_before_it():
    spec = ToySpec(form='localization', size=32)
    frames = clip_frames(spec, 'test', FORMS['localization'].label_of(0), 0)
    first = round(clip_motion(spec, 'test', FORMS['localization'].label_of(0), 0).annotation['actions'][0][0] * 25)
    assert (frames[: first + 1] == frames[0]).all()
    assert (frames[first + 3] != frames[0]).any()


def test_the_card_is_the_set_that_its_command_makes():
    card = load_dataset_card('toy_localization')
    spec = ToySpec(form='localization')
    written = {split: [video for video, _ in pairs] for split, pairs in toy.entries(spec).items()}
    assert {split: len(v) for split, v in written.items()} == {s: card.split(s)['num_videos'] for s in written}
    wanted = toy.card(spec)
    assert {key: card.info[key] for key in wanted} == wanted
    assert tuple(card.info['classes']) == spec.classes


def test_the_list_hashes_of_the_card_are_those_of_the_lists(tmp_path):
    from sigma.data.lists import list_sha256, write_list

    card, spec = load_dataset_card('toy_localization'), ToySpec(form='localization')
    for split, pairs in toy.entries(spec).items():
        numbered = [(path, tuple(sorted(spec.classes.index(name) for name in label))) for path, label in sorted(pairs)]
        write_list(tmp_path / 'list.txt', numbered, ' ')
        assert list_sha256(tmp_path / 'list.txt') == card.split(split)['sha256']


def test_the_suites_name_recipes_that_are_there():
    parts = Cards()
    for suite in ('localization', 'localization_toy'):
        for one in SUITES[suite]:
            assert parts.recipe(one.recipe)['protocol'] == one.protocol
            assert (CONFIG_ROOT / 'datasets' / f'{one.dataset}.py').is_file()


def test_packing_knows_videos_without_a_row():
    packed = pack_segments([[], [[1, 2, 0]]], 3)
    assert packed.tolist() == [[[0, 0, -1]], [[1, 2, 0]]]


# --- published datasets ---------------------------------------------------------------------------------------------


@needs_annotations
def test_the_published_ground_truth_of_thumos_becomes_lists_and_times():
    card = load_dataset_card('thumos14')
    lists = read_lists(card, ANNOTATIONS / 'thumos14', ANNOTATIONS, [])
    counts = {s: sum(len(lists.annotations[v]['actions']) for v, _ in pairs) for s, pairs in lists.splits.items()}
    assert counts == {'train': 3003, 'test': 3325}
    cliff, diving = (card.info['classes'].index(name) for name in ('CliffDiving', 'Diving'))
    every = [(video, *action) for video, entry in lists.annotations.items() for action in entry['actions']]
    of_cliff = [(video, start, end) for video, start, end, label in every if label == cliff]
    assert len(of_cliff) == 360
    assert set(of_cliff) <= {(video, start, end) for video, start, end, label in every if label == diving}


@needs_annotations
def test_the_published_ground_truth_of_activitynet_becomes_lists_and_times():
    lists = read_lists(load_dataset_card('activitynet'), ANNOTATIONS / 'activitynet', ANNOTATIONS, [])
    assert {split: len(pairs) for split, pairs in lists.splits.items()} == {'train': 9649, 'test': 4728}
    counts = {s: sum(len(lists.annotations[v]['actions']) for v, _ in pairs) for s, pairs in lists.splits.items()}
    assert counts == {'train': 14859, 'test': 7293}
    assert {label for _, labels in lists.splits['test'] for label in labels} == set(range(200))


def test_the_official_layout_of_activitynet_is_read_too(tmp_path):
    labels = '[{"segment": [1.5, 2], "label": "Ballet"}]'
    entries = [f'"{name}": {{"subset": "{subset}", "annotations": {labels}}}' for name, subset in SUBSETS]
    file = tmp_path / 'activity_net.v1-3.min.json'
    file.write_text(f'{{"database": {{{", ".join(entries)}}}}}')
    card = load_dataset_card('activitynet')
    lists = read_lists(card, tmp_path, tmp_path, [])
    ballet = card.info['classes'].index('Ballet')
    assert lists.splits == {'train': [('v_a.mp4', (ballet,))], 'test': [('v_b.mp4', (ballet,))]}
    assert lists.annotations['v_b.mp4'] == {'actions': [[1.5, 2.0, ballet]]}
    for text, words in (('Balet', "no such field or class: 'Balet'"), ('[1.5]', 'segment without start and end')):
        old = 'Ballet' if text == 'Balet' else '[1.5, 2]'
        file.write_text(file.read_text().replace(old, text))
        with pytest.raises(DataError, match=words):
            read_lists(card, tmp_path, tmp_path, [])
        file.write_text(file.read_text().replace(text, old))
