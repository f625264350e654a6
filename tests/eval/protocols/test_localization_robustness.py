"""Damaged actions: frames and clips against the corruptions themselves, mAP known by hand, whole tiny cells."""

import numpy as np
import pytest

from eval.cells.cell import Cell, ResolvedCell
from eval.corruptions import get_corruption, suite_corruptions, to_working_size
from eval.corruptions.block import DAMAGES, damage_frame, damaged_frames
from eval.corruptions.shown import CLEAN, Variant
from eval.corruptions.shown_dense import action_frames, encode_damaged, read_damaged, write_damaged
from eval.corruptions.timing import sample_frames
from eval.features.dense import DenseView, frames_of, resized
from eval.matrix.suites import SUITES
from eval.metrics import get_metric, load_predictions, score_predictions
from eval.metrics.corrupted_localization import column_scores, pack_columns
from eval.metrics.localization import RULES, pack_segments
from eval.protocols import get_protocol, localization_robustness
from eval.records import read_record, read_records
from eval.report.figures import load_figure
from eval.report.sweeps import is_sweep, report
from eval.report.table import Table
from sigma.data.cards import CONFIG_ROOT, find_card, load_dataset_card, read_card
from sigma.errors import DataError, DecodeError
from sigma.video import FrameTimes, times_of
from tests.conftest import run_tool
from tests.eval import tiny_localization
from tests.eval.measured import measured, run_needed
from tests.eval.tiny_localization import write_long

NAMES = [corruption.name for corruption in suite_corruptions('tal-c')]
VARIANTS = [Variant(name, severity, 'tal-c') for name in NAMES for severity in (1, 2, 3)]
COLUMNS = [CLEAN, *(variant.name for variant in VARIANTS)]


@pytest.fixture(scope='module')
def long(tmp_path_factory):
    return write_long(tmp_path_factory.mktemp('long'), sampling={'step_frames': 4})


# --- frames and clips -----


@pytest.mark.parametrize('name', NAMES)
def test_a_frame_among_its_neighbours_is_damaged_as_in_the_whole_video(name):
    frames, actions = sample_frames(100, 40, 56), [(0, 20), (50, 100)]
    whole = get_corruption(name)(frames, 3, 'v', actions=actions)
    hit = damaged_frames(100, 0.1, actions)
    assert hit == [9, 10, 11, 73, 74, 75, 76, 77, 78]
    for t in hit:
        around = range(max(0, t - DAMAGES[name].reach), min(100, t + DAMAGES[name].reach + 1))
        one = damage_frame(name, frames[around.start : around.stop], t - around.start, 3, 'v', around)
        assert np.array_equal(one, whole[t]), t
    assert np.array_equal(np.delete(whole, hit, axis=0), np.delete(frames, hit, axis=0))


def test_actions_in_frames_lie_in_their_video():
    seconds = np.array([[0, 1, 0], [1.99, 2.01, 1], [3.5, 9, 0], [3, 3.001, 1], [8, 9, 0]])
    assert action_frames(seconds, FrameTimes.constant(100, 25)) == [(0, 25), (50, 51), (88, 100), (75, 76)]
    assert action_frames(np.empty((0, 3)), FrameTimes.constant(100, 25)) == []


def test_actions_of_a_variable_rate_are_found_by_time():
    times = FrameTimes.listed([0.04 * n + 2 * (n >= 50) for n in range(100)])  # frame 49 stands for 2 s
    seconds = np.array([[0, 1, 0], [1.96, 4.0, 0], [2.5, 2.6, 1], [4.2, 9, 0]])
    assert action_frames(seconds, times) == [(0, 25), (49, 50), (49, 50), (55, 100)]


def tokens(clips: np.ndarray) -> np.ndarray:
    """(B, T) mean of each frame: any frame that differs shows."""
    return clips.mean(axis=(2, 3, 4), dtype=np.float64)


@pytest.mark.parametrize('short_side', [None, 40])
@pytest.mark.parametrize('number', [0, 1, 2])
def test_clips_are_those_of_the_damaged_video(long, number, short_side):
    entry = load_dataset_card(str(long)).entries('test')[number]
    view = DenseView(num_frames=4, stride_frames=3, step_frames=2, size=32, resize='square')
    frames = np.stack([frame.to_ndarray(format='rgb24') for frame in frames_of(entry['filename'])])
    if short_side:
        frames = to_working_size(frames, short_side)
    actions = action_frames(np.array(entry['annotation']['actions']), times_of(entry))
    calls = []

    def encode(clips):
        calls.append(len(clips))
        return tokens(clips)

    found = encode_damaged(entry, view, encode, 5, actions, VARIANTS, short_side)
    places = view.starts(len(frames))[:, None] + 3 * np.arange(4)
    if len(frames) == 7:  # a clip needs 10: the last that it reaches repeats
        assert places.tolist() == [[0, 3, 6, 9]]
        places = np.array([[0, 3, 6, 6]])
    num_changed = 0
    for variant in [Variant(CLEAN), *VARIANTS]:
        shown, hit = frames, []
        if variant.severity:
            hit = damaged_frames(len(frames), variant.level, actions)
            shown = get_corruption(variant.corruption)(frames, variant.severity, entry['video'], actions=actions)
            changed = np.flatnonzero(np.isin(places, hit).any(axis=1))
            assert found.changed[variant.name][0].tolist() == changed.tolist()
            num_changed += len(changed)
        pictures = np.stack([resized(picture, view) for picture in shown])
        assert np.array_equal(found.of(variant.name), tokens(pictures[places]).astype(np.float16)), variant.name
    assert sum(calls) == len(places) + num_changed  # what sees no damage passes the encoder once
    assert max(calls) <= 5


def test_a_video_without_an_action_is_clean_in_every_column(long):
    entry = load_dataset_card(str(long)).entries('test')[0]
    view = DenseView(num_frames=4, stride_frames=3, step_frames=2, size=32)
    found = encode_damaged(entry, view, tokens, 64, [], VARIANTS)
    assert all(len(where) == 0 for where, _ in found.changed.values())
    assert np.array_equal(found.of('tal_black_frame-3'), found.clean)


def test_a_video_of_another_length_than_its_index_says_is_not_scored(long):
    entry = load_dataset_card(str(long)).entries('test')[0]
    view = DenseView(num_frames=4, stride_frames=3, step_frames=2, size=32)
    for wrong in (59, 61):
        with pytest.raises(DecodeError, match=f'60 frames, the index says {wrong}'):
            encode_damaged(entry | {'total_frames': wrong}, view, tokens, 64, [(0, 20)], VARIANTS)


def test_features_that_half_precision_cannot_hold_are_refused(long):
    entry = load_dataset_card(str(long)).entries('test')[0]
    view = DenseView(num_frames=4, stride_frames=3, step_frames=2, size=32)
    with np.errstate(over='ignore'), pytest.raises(DataError, match='test_0.mp4: its features are not finite'):
        encode_damaged(entry, view, lambda clips: 1e6 * (1 + tokens(clips)), 64, [(0, 20)], VARIANTS)


def test_a_video_of_unknown_rate_is_named(long, tmp_path):
    resolved = resolve(long, tmp_path)
    entry = load_dataset_card(str(long)).entries('test')[0]
    view = DenseView(num_frames=4, stride_frames=3, step_frames=2, size=32)
    for fps in (None, 0.0):
        found = resolved.protocol._features(
            resolved, resolved.protocol.trained(resolved), view, [entry | {'fps': fps}], {}, tmp_path
        )
        assert [reason for _, reason in found] == ['its frame rate is unknown']


def test_features_are_stored_whole_or_made_again(tmp_path, caplog, long):
    entry = load_dataset_card(str(long)).entries('test')[0]
    view = DenseView(num_frames=4, stride_frames=3, step_frames=2, size=32)
    found = encode_damaged(entry, view, tokens, 64, [(10, 40)], VARIANTS)
    path, header = tmp_path / 'folder' / 'v.npz', {'key': 'a', 'actions': [(10, 40)]}
    assert read_damaged(path, header) is None
    write_damaged(path, found, header)
    again = read_damaged(path, header)
    assert all(np.array_equal(again.of(column), found.of(column)) for column in COLUMNS)
    assert read_damaged(path, header | {'key': 'b'}) is None
    assert 'of other weights, settings or another video' in caplog.text
    path.write_bytes(path.read_bytes()[:-40])
    assert read_damaged(path, header) is None
    assert 'not whole, made again' in caplog.text


# --- metrics -----

TRUTH = pack_segments([np.array([[0, 1, 0], [2, 3, 1]]), np.array([[1, 2, 0]])], 3)
RIGHT = [np.array([[0, 1, 0, 0.9], [2, 3, 1, 0.8]]), np.array([[1, 2, 0, 0.7]])]
NOTHING = np.empty((0, 4))


def test_map_of_columns_known_by_hand():
    # clean: all found; then nothing; then class 1 alone, so that one of two classes is found
    scores = pack_columns([[RIGHT[0], NOTHING, RIGHT[0][1:]], [RIGHT[1], NOTHING, NOTHING]])
    assert column_scores(scores, TRUTH, (0.5,)) == pytest.approx([100, 0, 50])
    assert get_metric('corrupted_map_30_70').function(scores, TRUTH) == pytest.approx(25)
    assert get_metric('clean_map_50_95').function(scores, TRUTH) == pytest.approx(100)
    assert get_metric('rpc_map_30_70').function(scores, TRUTH) == pytest.approx(25)
    assert get_metric('worst_map_30_70').function(scores, TRUTH) == 0
    assert set(get_metric('corrupted_map_30_70').others) == {'clean_map_30_70', 'rpc_map_30_70', 'worst_map_30_70'}


def test_resamples_of_a_sweep_score_as_if_the_videos_were_copied():
    rng = np.random.default_rng(0)
    true = [np.array([[start, start + 3, place % 3]]) for place, start in enumerate(rng.uniform(0, 9, 12))]
    rows = []
    for truth in true:
        near = [np.column_stack([truth + [*rng.normal(0, 1, 2), 0], rng.random(1)]) for _ in range(4)]
        rows.append([*near[:3], NOTHING if rng.random() < 0.3 else near[3]])
    scores, labels = pack_columns(rows), pack_segments(true, 3)
    metric = get_metric('corrupted_map_30_70')
    weights = rng.multinomial(12, np.full(12, 1 / 12), size=6)  # (B, N)
    found = metric.resampled(scores, labels)(np.column_stack([np.ones(12), weights.T]).astype(float))
    copied = [metric.function(np.repeat(scores, w, axis=0), np.repeat(labels, w, axis=0)) for w in weights]
    assert found == pytest.approx([metric.function(scores, labels), *copied], abs=1e-9)
    assert len(set(found.round(6))) > 4  # else the comparison would say little


def test_nothing_relative_where_nothing_clean_is_found():
    scores = pack_columns([[NOTHING, RIGHT[0]], [NOTHING, RIGHT[1]]])
    assert column_scores(scores, TRUTH, (0.5,)) == pytest.approx([0, 100])
    assert np.isnan(get_metric('rpc_map_30_70').function(scores, TRUTH))


@pytest.mark.parametrize(
    ('scores', 'words'),
    [
        (pack_segments(RIGHT, 4), '\\(N, P, 5\\)'),
        (pack_columns([[RIGHT[0]], [RIGHT[1]]]), 'no column but the clean one'),
        (pack_columns([[RIGHT[0]] * 2, [RIGHT[1]] * 2]) - [0, 0, 0, 0, 0.5], 'no whole number from 0'),
    ],
)
def test_what_is_no_sweep_is_refused(scores, words):
    with pytest.raises(ValueError, match=words):
        column_scores(scores, TRUTH, (0.5,))


# --- cells -----


def resolve(dataset, tmp_path, seed=0, protocol='localization_robustness', **changes) -> ResolvedCell:
    """The sweep over the cell of `tiny_localization.resolve`."""
    trained = tiny_localization.resolve(dataset, tmp_path).cell
    settings = {'protocol': protocol, 'trained': trained.recipe, 'working_short_side': None, 'batch_size': 8} | changes
    recipe = tmp_path / 'damaged.py'
    recipe.write_text(f'recipe = dict(**{settings!r})\n')
    return ResolvedCell(Cell(protocol, str(dataset), str(recipe), trained.encoder, seed), get_protocol(protocol))


def test_a_sweep_from_training_to_record(long, tmp_path, monkeypatch):
    resolved, work = resolve(long, tmp_path), tmp_path / 'work'
    record = measured(resolved, work)
    assert resolved.config['columns'] == COLUMNS
    others = record.score['others']
    assert record.score['metric'] == 'corrupted_map_30_70'
    assert record.score['value'] == pytest.approx(np.mean([others[name] for name in COLUMNS[1:]]), abs=1e-4)
    assert others['clean_map'] == pytest.approx(others['clean_map_30_70'])
    assert others['worst_map_30_70'] == pytest.approx(min(others[name] for name in COLUMNS[1:]))
    assert (record.dataset['num_listed'], record.dataset['num_scored'], record.dataset['num_train']) == (3, 3, 4)
    how = record.selection['how']
    assert how == 'last; mean over 5 corruptions x 3 lengths, working size of the file'
    assert resolved.needs[0].name in record.notes[0]
    assert {RULES, 'rules: 0 videos blocked'} < set(record.notes)
    assert record.get('sampling.step_frames') == 4

    # At the size of the file the clean column is what the trained cell found, segment by segment.
    trained = resolved.protocol.trained(resolved)
    own = load_predictions(read_record(trained.record_path(work)))
    predictions = load_predictions(record)
    for found, mine in zip(own.scores, predictions.scores):
        clean = mine[(mine[:, 4] == 0) & (mine[:, 2] >= 0)]
        assert clean[:, :4] == pytest.approx(found[found[:, 2] >= 0], abs=1e-4)
    assert own.video.tolist() == predictions.video.tolist()
    assert score_predictions(predictions, 'clean_map_30_70') == pytest.approx(others['clean_map'])
    # The two longer videos have damage that the head sees.
    assert any(not np.array_equal(m[m[:, 4] == 0][:, :4], m[m[:, 4] == 3][:, :4]) for m in predictions.scores[:2])

    # Again: nothing is trained or read.
    monkeypatch.setattr(localization_robustness, 'encode_damaged', lambda *_: pytest.fail('read again'))
    assert measured(resolved, work).score == record.score

    # A head that was taken away is asked for.
    (trained.folder(work) / 'head.safetensors').unlink()
    with pytest.raises(DataError, match='has its record but no head'):
        resolved.protocol.run(resolved, work)


def test_a_killed_sweep_goes_on_and_an_unreadable_video_is_named(long, tmp_path, monkeypatch):
    resolved, work = resolve(long, tmp_path, corruptions=('tal_black_frame',), severities=(3,)), tmp_path / 'work'
    run_needed(resolved, work)
    real, seen = encode_damaged, []

    def encode(entry, *rest):
        seen.append(entry['video'])
        if len(seen) == 2:
            raise KeyboardInterrupt
        if entry['video'] == 'test_2.mp4':
            raise DecodeError('moov atom not found')
        return real(entry, *rest)

    monkeypatch.setattr(localization_robustness, 'encode_damaged', encode)
    with pytest.raises(KeyboardInterrupt):
        resolved.protocol.run(resolved, work)
    outcome = resolved.protocol.run(resolved, work)
    assert seen == ['test_0.mp4', 'test_1.mp4', 'test_1.mp4', 'test_2.mp4']
    assert outcome.videos == ['test_0.mp4', 'test_1.mp4']
    assert outcome.unscored == [{'video': 'test_2.mp4', 'reason': 'moov atom not found'}]
    assert outcome.num_listed == 3
    assert outcome.selection['how'].endswith('tal_black_frame at 3')


def test_videos_that_the_rules_block_are_not_looked_at(tmp_path):
    folder = write_long(tmp_path / 'data', rules={'blocked': ['test_1.mp4']})
    resolved = resolve(folder, tmp_path, corruptions=('tal_black_frame',), severities=(1,))
    run_needed(resolved, tmp_path / 'work')
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert outcome.videos == ['test_0.mp4', 'test_2.mp4']
    assert (outcome.num_listed, outcome.unscored) == (2, [])


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'corruptions': ('tal_blackframe',)}, "Did you mean 'tal_black_frame'"),
        ({'corruptions': ('fog',)}, 'fog is not in tal-c; it is in imagenet-c'),
        ({'severities': (4,)}, 'severities is 4; it must be 1 to 3'),
        ({'severities': ()}, 'no corruption to measure'),
        ({'trained': 'localization_bmn_demo'}, 'is for the protocol localization_bmn, asked for localization'),
        ({'trained': {'r2plus1d': 'localization_demo'}}, 'names no trained recipe for the family vit'),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(long, tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        resolve(long, tmp_path, **changes)


def test_data_of_another_task_or_metric_is_refused(long, tmp_path):
    recipe = resolve(long, tmp_path).cell.recipe
    other = write_long(tmp_path / 'other', task='multi_label')
    with pytest.raises(DataError, match='dataset for multi_label; localization_robustness needs one'):
        ResolvedCell(
            Cell('localization_robustness', str(other), recipe, 'random', 0), get_protocol('localization_robustness')
        )
    folder = write_long(tmp_path / 'data', metric='map_50')
    with pytest.raises(DataError, match='is scored by map_50; known here: map_30_70, map_50_95'):
        resolve(folder, tmp_path)


@pytest.mark.parametrize(
    'path', sorted((CONFIG_ROOT / 'recipes').glob('localization_robustness*.py')), ids=lambda p: p.stem
)
def test_every_recipe_joins_with_a_card(long, path):
    cell = Cell('localization_robustness', str(long), path.stem, 'random', 0)
    config = ResolvedCell(cell, get_protocol('localization_robustness')).config
    assert config['columns'] == COLUMNS
    assert config['working_short_side'] == (None if 'toy' in path.stem else 256)


@pytest.mark.parametrize('suite', ['robustness_localization', 'robustness_localization_toy'])
def test_each_sweep_of_a_suite_follows_the_cell_that_it_measures(suite):
    entries = SUITES[suite]
    for trained, swept in zip(entries[::2], entries[1::2]):
        recipe = read_card(find_card('recipes', swept.recipe), 'recipe')
        assert (recipe['protocol'], recipe['trained']) == (swept.protocol, trained.recipe)
        assert (trained.dataset, trained.protocol) == (swept.dataset, 'localization')


# --- the report -----


def test_the_report_and_figures_set_the_clean_map_before_every_other(long, tmp_path):
    record = measured(resolve(long, tmp_path, corruptions=NAMES[:2], severities=(1, 3)), tmp_path / 'work')
    assert is_sweep(record)
    values = {'clean_map': 40.0, f'{NAMES[0]}-1': 30, f'{NAMES[0]}-3': 20, f'{NAMES[1]}-1': 40, f'{NAMES[1]}-3': 10}
    record.score['others'] |= values
    text = report(Table([record]))
    rows = {line.split('  ')[0]: line.split()[-2:] for line in text.splitlines()}
    assert ': mAP in percent, 3 videos' in text
    assert rows['clean'][-1] == '40.0'
    assert rows['mean corrupted mAP'][-1] == '25.0'
    assert rows['rPC'][-1] == '62.5'
    assert rows['worst cell'] == ['10.0', f'{NAMES[1]}-3']
    assert rows[NAMES[0]] == ['25.0', '(1)']
    assert '10.0 (-30.0)' in text
    assert text.index('\nclean') < text.index('\nrPC')
    assert 'paired' not in text
    figure = load_figure('severity_curves')(Table([record]))
    first = figure.axes[0]
    assert first.lines[0].get_xdata().tolist() == [0, 1, 3]
    assert first.lines[0].get_ydata().tolist() == pytest.approx([40, 30, 20])
    axes, _ = load_figure('robustness_heatmap')(Table([record])).axes
    assert axes.get_title().endswith('clean 40.0, mean 25.0')
    record.score['others']['clean_map'] = 0.0
    assert 'clean is 0' in report(Table([record]))


@pytest.mark.slow
def test_a_suite_of_both_is_one_command(long, tmp_path):
    swept = resolve(long, tmp_path)
    trained = swept.protocol.trained(swept)
    (tmp_path / 'suite.py').write_text(
        'from eval.matrix.suites import SUITES, Entry\n'
        f"SUITES['mini'] = (Entry('localization', {str(long)!r}, {trained.cell.recipe!r}), "
        f"Entry('localization_robustness', {str(long)!r}, {swept.cell.recipe!r}))\n"
    )
    words = ['--suite', 'mini', '--import', tmp_path / 'suite.py', '--encoders', swept.cell.encoder, '--jobs', 1]
    done = run_tool('eval/run_severe.py', *words, '--work-dir', tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'mean corrupted mAP' in (tmp_path / 'mini.robustness.txt').read_text()
    assert {record.protocol['name'] for record in read_records(tmp_path)} == {'localization', 'localization_robustness'}
    again = run_tool('eval/run_severe.py', *words, '--work-dir', tmp_path)
    assert again.stdout.startswith('2 cells, 2 done')
