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
from eval.report.figures import FigureError, caption_of, corruption_sheet, load_figure, overlays, render
from eval.report.sweeps import report, sweeps
from eval.report.table import Table
from sigma.video import FrameTimes
from tests.eval.report.paper import faults

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
    fog, contrast = figure.axes
    lines = {line.get_label(): line for line in fog.lines}
    assert lines['sigma_mlp_toy'].get_xdata().tolist() == [0, 1, 5]
    assert lines['sigma_mlp_toy'].get_ydata().tolist() == pytest.approx([80, 80, 60])
    assert {line.get_label(): line.get_ydata() for line in contrast.lines}['random'] == pytest.approx([40, 20, 10])
    assert [text.get_text() for text in figure.legends[0].texts] == [*RIGHT, 'chance']
    assert fog.get_ylim() == contrast.get_ylim() == (0, pytest.approx(84))  # nothing is cut off: the best is 80
    assert (fog.get_title(), fog.get_xlabel(), fog.get_ylabel()) == ('fog', 'severity', 'top-1 (%) ↑')


def test_curves_have_the_interval_of_each_cell_and_chance(both):
    figure = load_figure('severity_curves')(Table(both))
    area = figure.axes[0].collections[0].get_paths()[0].vertices  # of random under fog: 8, 6, 4 of 20
    at_five = sorted(set(area[area[:, 0] == 5][:, 1].tolist()))
    assert at_five == pytest.approx([8.066, 41.602], abs=1e-3)  # Wilson's interval of 4 of 20
    (chance,) = [line for line in figure.axes[0].lines if line.get_linestyle() == '--']
    assert list(chance.get_ydata()) == [10, 10]
    said = caption_of(figure)
    assert 'robustness / toy: 20 videos that all encoders scored.' in said
    assert 'Chance (dashed): a uniform guess.' in said


def test_more_than_eight_curves_have_no_intervals(tmp_path):
    for number in range(9):
        add_sweep(tmp_path, f'e{number}', RIGHT['random'])
    figure = load_figure('severity_curves')(Table(read_records(tmp_path)), width='column')
    assert [len(axes.collections) for axes in figure.axes] == [0, 0]
    assert 'Intervals are not drawn for more than 8 encoders.' in caption_of(figure)


def test_the_map_holds_every_cell_with_ranks(both):
    figure = load_figure('robustness_heatmap')(Table(both))
    first, second, bar = figure.axes
    assert second.images[0].get_array().tolist() == [[80, 80, 60, 70], [80, 20, 0, 10]]
    assert [text.get_text() for text in first.texts] == ['40', '30', '20', '25 (2)', '40', '20', '10', '15 (1)']
    assert second.get_title() == 'sigma_mlp_toy\nclean 80.0, mPC 40.0'
    assert bar.get_xlabel() == 'top-1 (%) ↑'
    assert bar.get_xlim() == (0, 80)
    assert 'In brackets: rank under that corruption, 1 is the best.' in caption_of(figure)


def test_many_encoders_have_one_row_each(tmp_path):
    for number in range(5):
        add_sweep(tmp_path, f'e{number}', (16, 16 - number, 12, 4, 0, 10))
    figure = load_figure('robustness_heatmap')(Table(read_records(tmp_path)), width='column')
    shown = figure.axes[0]
    assert [label.get_text() for label in shown.get_xticklabels()] == [
        'clean\xa0↑',
        'fog\xa0↑',
        'contrast\xa0↑',
        'mPC\xa0↑',
    ]
    assert [text.get_text() for text in shown.texts][:8] == [
        *('80', '70 (1)', '10 (1)', '40 (1)'),
        *('80', '68 (2)', '10 (1)', '39 (2)'),
    ]
    assert faults(figure) == []


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
    assert panels[2, 0].lines[0].get_ydata().tolist() == list(range(8))  # the clean order, with what the axes are
    assert [text.get_text() for text in panels[2, 0].texts] == ['source (7)', 'shown (7)']
    assert [len(axes.images) for axes in panels[3]] == [1, 1, 1, 1, 0, 0]  # three lengths of the block


def test_orders_that_keep_few_frames_are_seen(video, monkeypatch):
    from eval.corruptions import CORRUPTIONS

    monkeypatch.setattr(corruption_sheet, 'CORRUPTIONS', {'sampling': CORRUPTIONS['sampling']})
    half, *_, one = (axes.lines[0] for axes in corruption_sheet.draw(video, short_side=48).axes[1:])
    assert half.get_xydata().tolist() == [[0, 0], [1, 2], [2, 4], [3, 6]]
    assert half.axes.get_xlim() == one.axes.get_xlim() == (-1, 8)  # a video of half the frames takes half the time
    assert (len(one.get_xdata()), one.get_marker()) == (1, '.')


@pytest.mark.parametrize('width, inches', [('page', 7.0), ('column', 3.4)])
def test_a_sheet_of_some_corruptions_fits_the_paper(video, width, inches):
    figure = corruption_sheet.draw(video, short_side=48, width=width, only=['jumble', 'contrast'])
    assert figure.get_figwidth() == inches
    assert faults(figure) == []
    assert [axes.get_ylabel() for axes in figure.axes[::6]] == ['jumble', 'contrast']
    assert 'Frame 4 of pan.mp4' in caption_of(figure)
    with pytest.raises(FigureError, match="Unknown corruption 'jumbel'. Did you mean 'jumble'"):
        corruption_sheet.draw(video, only=['jumbel'])


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


# --- masks over frames -----


def save_masks(path, **changes):
    """Two rows over three frames of 4 x 6 pixels: one object, and one in a corner with a pixel that does not count."""
    masks = np.zeros((2, 3, 4, 6), np.uint8)
    masks[0, :, 1:4, 1:4] = 1
    masks[1, 0, 0, 0], masks[1, 0, 0, 1] = 2, overlays.VOID
    arrays = {'frames': np.full((3, 4, 6, 3), 100, np.uint8), 'masks': masks, 'names': ['truth', 'x' * 80]}
    np.savez(path, **(arrays | changes))
    return path


def test_masks_lie_over_the_frames_in_the_colours_of_their_labels(tmp_path):
    figure = overlays.draw(save_masks(tmp_path / 'one.npz'), width='column')
    first = figure.axes[0].images[0].get_array()
    assert first[0, 0].tolist() == [100, 100, 100]  # background
    assert first[2, 2].tolist() == [50, 107, 139]  # half of #0072B2, half of the frame
    assert first[1, 1].tolist() == [0, 114, 178]  # its edge
    second = figure.axes[3].images[0].get_array()
    assert second[0, 0].tolist() == [230, 159, 0]
    assert second[0, 1].tolist() == [128, 128, 128]
    assert [axes.get_title() for axes in figure.axes[:3]] == ['frame 0', 'frame 1', 'frame 2']
    assert faults(figure) == []
    said = caption_of(figure)
    assert 'Masks over 3 of 3 frames of one: 2 objects, a colour each. Grey pixels count nowhere.' in said
    assert f' is {"x" * 80}.' in said


BAD_MASKS = [
    ({'masks': np.zeros((2, 3, 4, 5), np.uint8)}, r'masks of shape \(3, 4, 5\) do not fit frames of shape \(3, 4, 6\)'),
    ({'masks': np.zeros((2, 3, 4, 6), np.float32)}, 'masks are float32'),
    ({'masks': np.full((2, 3, 4, 6), 300)}, 'masks hold 300 to 300, wanted labels from 0 to 255'),
    ({'frames': np.zeros((3, 4, 6), np.uint8)}, 'frames are uint8 of shape'),
    ({'names': ['one']}, '1 names for 2 masks'),
]


@pytest.mark.parametrize('changes, sentence', BAD_MASKS)
def test_masks_that_cannot_be_drawn(tmp_path, changes, sentence):
    with pytest.raises(FigureError, match=sentence):
        overlays.draw(save_masks(tmp_path / 'bad.npz', **changes))


def test_files_that_hold_no_masks(tmp_path):
    with pytest.raises(FigureError, match='none.npz does not exist'):
        overlays.draw(tmp_path / 'none.npz')
    (tmp_path / 'text.npz').write_text('no archive')
    with pytest.raises(FigureError, match='text.npz is no .npz file that can be read'):
        overlays.draw(tmp_path / 'text.npz')
    np.savez(tmp_path / 'half.npz', frames=np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(FigureError, match='half.npz has no array masks; it needs frames and masks'):
        overlays.draw(tmp_path / 'half.npz')


def test_real_frames_with_masks_where_they_are(tmp_path):
    from PIL import Image

    root = ROOT.parent / 'shared' / 'data' / 'real' / 'davis2016'
    frames = sorted((root / 'JPEGImages' / '240p' / 'blackswan').glob('*.jpg'))[:8]
    if not frames:
        pytest.skip('DAVIS 2016 is not here')
    masks = [root / 'Annotations' / '240p' / 'blackswan' / f'{frame.stem}.png' for frame in frames]
    arrays = {
        'frames': np.stack([np.asarray(Image.open(frame).convert('RGB')) for frame in frames]),
        'masks': np.stack([(np.asarray(Image.open(mask).convert('L')) > 127).astype(np.uint8) for mask in masks]),
    }
    figure = overlays.draw(save_masks(tmp_path / 'blackswan.npz', names=['truth'], **arrays))
    assert len(figure.axes) == 6
    assert faults(figure) == []
    assert caption_of(figure) == 'Masks over 6 of 8 frames of blackswan: 1 object, a colour each.'
