"""Sweeps side by side, their report and their figures, from records made up here."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.metrics import score_predictions, write_predictions
from eval.metrics.predictions import Predictions
from eval.records import RecordError, identity_hash, predictions_path, read_records, record_path, write_record
from eval.report.figures import FigureError, corruption_sheet, load_figure, render
from eval.report.sweeps import report, sweeps
from eval.report.table import Table
from sigma.video import FrameTimes

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / 'tests' / 'data' / 'records'))
from build_records import make_record  # noqa: E402

COLUMNS = ['clean', 'fog-1', 'fog-5', 'contrast-1', 'contrast-5', 'clip_reverse-1']
# Of 20 videos, right in each column.
RIGHT = {'random': (8, 6, 4, 4, 2, 8), 'sigma_mlp_toy': (16, 16, 12, 4, 0, 10)}


def add_sweep(root, encoder='random', right=None, seed=0, metric='mpc', unavailable=None, columns=COLUMNS):
    """A record whose first videos are right, as many as said for each column."""
    record = make_record(encoder, 'robustness', num_listed=20, metric=metric, seed=seed)
    config = {'columns': columns, 'severities': [1, 5], 'corruptions': {'fog': [1, 5], 'contrast': [1, 5]}}
    record.identity['config'] = config | {'unavailable': unavailable or {}}
    record.cell['id'] = identity_hash(record.identity)
    scores = (np.arange(20)[:, None] < np.array(right or RIGHT[encoder])).astype(np.float32)
    label = np.tile([False, True, True, True, True, False], (20, 1))
    predictions = Predictions(np.array([f'{i:02d}.mp4' for i in range(20)]), label, scores)
    write_predictions(predictions_path(record_path(root, encoder, 'robustness', 1, record.name)), *predictions)
    record.score['value'] = score_predictions(predictions, metric)
    return write_record(record, root)


@pytest.fixture
def both(tmp_path):
    for encoder in RIGHT:
        add_sweep(tmp_path, encoder)
    return read_records(tmp_path)


def test_numbers_of_a_sweep(both):
    (sweep,) = sweeps(Table(both))
    assert sweep.accuracy('random') == dict(zip(COLUMNS, (40, 30, 20, 20, 10, 40)))
    assert sweep.of_corruption('sigma_mlp_toy', 'fog') == 70
    found = sweep.summary('sigma_mlp_toy')  # clean 80; cells 80, 60, 20, 0
    assert found == pytest.approx({'clean': 80, 'mPC': 40, 'rPC': 50, 'gamma-r': 0.5, 'gamma-a': 0.6, 'worst cell': 0})
    assert sweep.worst('sigma_mlp_toy') == 'contrast-5'
    assert sweep.ranks() == {'random': 2, 'sigma_mlp_toy': 1}
    assert sweep.ranks('contrast') == {'random': 1, 'sigma_mlp_toy': 2}


def test_a_paired_difference_has_the_sign_and_size_of_the_means(both):
    (sweep,) = sweeps(Table(both))
    found = sweep.difference('sigma_mlp_toy', 'random', 'fog')
    assert found.difference == pytest.approx(70 - 25)
    assert 0 < found.low < 45 < found.high
    assert found.num_videos == 20
    same = sweep.difference('random', 'random', 'fog')
    assert (same.difference, same.p) == (0, 1)
    assert same.low == -same.high < 0  # 20 videos do not show that there is none


def test_videos_that_one_row_lacks_are_in_no_comparison(tmp_path):
    for encoder in RIGHT:
        add_sweep(tmp_path, encoder)
    records = read_records(tmp_path)
    for record in records:
        if record.encoder['name'] == 'random':  # it could not read the last video
            path = predictions_path(record.path)
            with np.load(path) as arrays:
                write_predictions(path, arrays['video'][:19], arrays['label'][:19], arrays['scores'][:19])
            record.predictions_sha256 = None
            record.score['value'] = 100 * 16 / (4 * 19)
            record.dataset |= {'num_scored': 19, 'unscored': [{'video': '19.mp4', 'reason': 'no moov'}]}
            write_record(record, tmp_path)
    (sweep,) = sweeps(Table(read_records(tmp_path), allow_partial=True))
    assert {row: correct.shape for row, correct in sweep.correct.items()} == dict.fromkeys(RIGHT, (1, 19, 6))


def test_the_report_sets_the_clean_accuracy_beside_every_relative_figure(both):
    lines = {line.split('  ')[0]: line.split()[1:] for line in report(Table(both)).splitlines()}
    assert lines['clean'] == ['40.0', '80.0']
    assert lines['rPC'] == ['50.0', '50.0']
    assert lines['fog'] == ['25.0', '(2):', '30.0', '20.0', '70.0', '(1):', '80.0', '60.0']  # every cell
    assert 'severities 1 5' in report(Table(both))
    assert lines['clip_reverse-1'] == ['40.0', '(+0.0)', '50.0', '(-30.0)']
    text = report(Table(both))
    assert text.index('\nclean') < text.index('\nrPC')
    assert 'sigma_mlp_toy - random, contrast: -5.0 [' in text


def test_no_relative_figure_without_a_clean_one_to_divide_by(tmp_path):
    add_sweep(tmp_path, right=(0, 6, 4, 4, 2, 8))
    lines = report(Table(read_records(tmp_path))).splitlines()
    assert [line.split('  ')[-1].strip() for line in lines if line.startswith(('rPC', 'gamma-r'))] == ['clean is 0'] * 2


def test_a_partial_mean_has_another_name(tmp_path):
    add_sweep(tmp_path, metric='mpc_available', unavailable={'h265_crf': 'no encoder'})
    text = report(Table(read_records(tmp_path)))
    assert 'mPC of corruptions that ran' in text
    assert re.search('h265_crf .*: no encoder', text)
    add_sweep(tmp_path, 'sigma_mlp_toy')
    with pytest.raises(RecordError, match='differ in score.metric'):
        report(Table(read_records(tmp_path)))


def test_what_was_trained_with_is_told_of_its_row(tmp_path):
    add_sweep(tmp_path)
    (record,) = read_records(tmp_path)
    record.notes.append('training pipeline contains sigma.RandAugment, which resembles what is tested: contrast')
    write_record(record, tmp_path)
    text = report(Table(read_records(tmp_path)))
    assert '\nrandom: training pipeline contains sigma.RandAugment' in text
    assert 'that ran' not in text


def test_records_that_hold_no_sweep_or_other_columns(tmp_path):
    with pytest.raises(RecordError, match='no record holds a sweep'):
        sweeps(Table(read_records(ROOT / 'tests' / 'data' / 'records')))
    add_sweep(tmp_path)
    add_sweep(tmp_path, 'sigma_mlp_toy', columns=['clean', 'rain-1', *COLUMNS[2:]])
    with pytest.raises(RecordError, match='has other corruptions'):
        sweeps(Table(read_records(tmp_path)))
    alone = tmp_path / 'alone'
    add_sweep(alone)
    predictions_path(record_path(alone, 'random', 'robustness', 1, 'random_robustness_toy_s0')).unlink()
    with pytest.raises(RecordError, match='predictions are missing'):
        sweeps(Table(read_records(alone)))


# --- figures -----


@pytest.mark.parametrize('name', ['severity_curves', 'robustness_heatmap'])
def test_figures_of_sweeps_draw_twice_alike(both, name):
    first, second = (render(load_figure(name)(Table(both)), '.png') for _ in range(2))
    assert first == second


def test_curves_run_from_clean_through_the_severities(both):
    figure = load_figure('severity_curves')(Table(both))
    fog, contrast = (axes for part in figure.subfigs for axes in part.axes if axes.get_visible())
    lines = {line.get_label(): line for line in fog.lines}
    assert lines['sigma_mlp_toy'].get_xdata().tolist() == [0, 1, 5]
    assert lines['sigma_mlp_toy'].get_ydata().tolist() == pytest.approx([80, 80, 60])
    assert {line.get_label(): line.get_ydata().tolist() for line in contrast.lines}['random'] == pytest.approx(
        [40, 20, 10]
    )
    assert [text.get_text() for text in figure.legends[0].texts] == list(RIGHT)
    assert fog.get_ylim() == contrast.get_ylim() == (0, pytest.approx(84))  # nothing is cut off: the best is 80


def test_the_map_holds_every_cell_with_ranks(both):
    figure = load_figure('robustness_heatmap')(Table(both))
    first, second = figure.subfigs[0].axes
    assert second.images[0].get_array().tolist() == [[80, 80, 60, 70], [80, 20, 0, 10]]
    assert [text.get_text() for text in first.texts] == ['40', '30', '20', '25 (2)', '40', '20', '10', '15 (1)']
    assert second.get_title() == 'sigma_mlp_toy\nclean 80.0, mPC 40.0'


@pytest.fixture(scope='module')
def video(tmp_path_factory) -> Path:
    import av

    from eval.corruptions.timing import sample_frames

    path = tmp_path_factory.mktemp('video') / 'pan.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for frame in sample_frames(8, 48, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    return path


def test_a_sheet_has_a_row_a_corruption_and_a_column_a_severity(video, monkeypatch):
    from eval.corruptions import CORRUPTIONS, get_corruption

    few = {name: CORRUPTIONS[name] for name in ('contrast', 'frame_average', 'jumble', 'tal_black_frame')}
    monkeypatch.setattr(corruption_sheet, 'CORRUPTIONS', few)
    panels = np.array(corruption_sheet.draw(video, short_side=48).axes).reshape(4, 6)
    frames, times = corruption_sheet._read(video)
    assert (frames.shape, times) == ((8, 48, 64, 3), FrameTimes.constant(8, 25))
    assert np.array_equal(panels[0, 0].images[0].get_array(), frames[4])
    expected = get_corruption('contrast')(frames[4:5], 3, 'pan.mp4', frame_numbers=[4])[0]
    assert np.array_equal(panels[0, 3].images[0].get_array(), expected)
    order = get_corruption('jumble').order(8, 2, 'pan.mp4')
    assert panels[2, 2].lines[0].get_ydata().tolist() == order.tolist()
    assert [len(axes.images) for axes in panels[3]] == [1, 1, 1, 1, 0, 0]  # three lengths of the block


def test_orders_that_keep_few_frames_are_seen(video, monkeypatch):
    from eval.corruptions import CORRUPTIONS

    monkeypatch.setattr(corruption_sheet, 'CORRUPTIONS', {'sampling': CORRUPTIONS['sampling']})
    half, *_, one = (axes.lines[0] for axes in corruption_sheet.draw(video, short_side=48).axes[1:])
    assert half.get_xydata().tolist() == [[0, 0], [1, 2], [2, 4], [3, 6]]
    assert half.axes.get_xlim() == one.axes.get_xlim() == (-1, 8)  # a video of half the frames takes half the time
    assert (len(one.get_xdata()), one.get_marker()) == (1, '.')


def test_what_the_sheet_cannot_draw(video, tmp_path, capsys):
    with pytest.raises(FigureError, match='does not exist; give a video'):
        corruption_sheet.draw(tmp_path / 'none.mp4')
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with pytest.raises(FigureError, match='broken.mp4: PyAV cannot open it'):
        corruption_sheet.draw(tmp_path / 'broken.mp4')
    main = runpy.run_path(str(ROOT / 'tools' / 'plot.py'))['main']
    sheet = ['--figure', 'corruption_sheet', '--out', str(tmp_path / 'a.png')]
    assert main([*sheet, '--video', str(video), '--suite', 'kinetic-c']) == 2
    assert "Did you mean 'kinetics-c'" in capsys.readouterr().err
    for arguments in (sheet, ['--video', str(video), '--out', str(tmp_path / 'a.png')]):
        with pytest.raises(SystemExit) as found:
            main(arguments)
        assert found.value.code == 2
        assert 'go together' in capsys.readouterr().err
    assert not (tmp_path / 'a.png').exists()
