"""Curves of logs whose values are known; what a kill and a resume leave; and that no torch is needed."""

import json
import math
import subprocess
import sys

import pytest

from sigma.errors import DataError
from sigma.figures.pretraining import GROUPS, draw_pretraining, read_curves, running_mean
from tests.conftest import ROOT, assert_one_sentence, run_tool


def log(folder, steps, started='20260101_000000', tail='', **quantities) -> None:
    file = folder / started / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    entries = [
        {'base_lr': 1, 'time': 2.0, 'epoch': 1, 'iter': s, 'step': s} | {q: f(s) for q, f in quantities.items()}
        for s in steps
    ]
    file.write_text(''.join(json.dumps(entry) + '\n' for entry in entries) + tail)


@pytest.fixture
def runs(tmp_path):
    log(tmp_path / 'a', range(1, 11), loss=lambda s: 10.0 - s, agreement=lambda s: s / 10, zeal=lambda s: 1.0)
    log(tmp_path / 'b', range(1, 6), loss=lambda s: 5.0, prototypes_used=lambda s: 0.5)
    return tmp_path / 'a', tmp_path / 'b'


def test_a_panel_a_quantity_and_a_line_a_run(runs):
    figure = draw_pretraining(runs)
    drawn = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(drawn) == ['loss', 'branches agree (share)', 'prototypes used (share)', 'zeal']  # no clocks
    lines = {line.get_label(): line for line in drawn['loss'].lines if not line.get_label().startswith('_')}
    assert list(lines) == ['a', 'b']
    assert lines['a'].get_xydata().tolist() == [[s, 10 - s] for s in range(1, 11)]
    assert lines['b'].get_xydata().tolist() == [[s, 5] for s in range(1, 6)]
    assert [line.get_label() for line in drawn['prototypes used (share)'].lines[1::2]] == ['b']
    assert lines['a'].get_color() == drawn['zeal'].lines[1].get_color() != lines['b'].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['a', 'b']


def test_groups_fit_a_page_and_say_what_is_healthy(tmp_path):
    quantities = [quantity for group in GROUPS for quantity in group.panels if not quantity.startswith('loss of')]
    log(tmp_path / 'all', range(30), **dict.fromkeys([*quantities, 'zeal'], float))
    log(tmp_path / 'few', range(30), **dict.fromkeys(['loss', 'data_wait_percent'], float))
    figure = draw_pretraining([tmp_path / 'all', tmp_path / 'few'])
    wide, high = figure.get_size_inches()
    assert wide == 7
    assert high <= 9.5
    assert [part.get_suptitle() for part in figure.subfigs] == ['Loss', 'Codes', 'Features', 'Speed', 'Other']
    said = [' '.join(part.get_supxlabel().split()) for part in figure.subfigs]
    assert said[0] == 'Healthy: falls and levels off; both parts of the cross-entropy stay close.'
    assert 'entropy over a window stays above 0.65' in said[1]
    assert 'kNN rises above the dotted line of random weights' in said[2]
    assert said[4] == ''
    one = draw_pretraining([tmp_path / 'few'])
    assert [part.get_supxlabel() for part in one.subfigs] == [
        'Healthy: falls and levels off.',
        'Healthy: waiting for data takes less than about 10 % of the time.',
    ]


def test_losses_of_different_kinds_do_not_share_a_panel(tmp_path):
    log(tmp_path / 'sigma', range(1, 4), loss=lambda s: 9.0, loss_pred=lambda s: 5.0, loss_target=lambda s: 4.0)
    log(tmp_path / 'mae', range(1, 4), loss=lambda s: 0.5, loss_pixels=lambda s: 0.5)
    figure = draw_pretraining([tmp_path / 'sigma', tmp_path / 'mae'])
    shown = {axis.get_title(): axis.lines[1].get_ydata()[0] for axis in figure.axes if axis.get_title()}
    assert shown == {
        'loss, cross-entropy (nats)': 9.0,
        'loss, pixels (squared error)': 0.5,
        'part of predictions (nats)': 5.0,
        'part of targets (nats)': 4.0,
    }


def test_the_legend_names_the_config_where_it_differs(runs):
    (runs[0] / 'demo_toy.py').touch()
    (runs[1] / 'b.py').touch()
    figure = draw_pretraining(runs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['a (demo_toy)', 'b']
    (runs[0] / 'other.py').touch()  # which of the two is not known
    assert draw_pretraining(runs).legends[0].get_texts()[0].get_text() == 'a'


def test_after_a_resume_the_later_log_holds(tmp_path):
    log(tmp_path, range(1, 8), '20260101_000000', tail='{"loss": 3, "it', loss=lambda s: float(s))
    log(tmp_path, range(5, 10), '20260102_000000', loss=lambda s: -float(s))
    steps, values = read_curves(tmp_path)['loss']
    assert steps == list(range(1, 10))
    assert values == [1, 2, 3, 4, -5, -6, -7, -8, -9]


def test_a_longer_first_try_leaves_nothing_behind(tmp_path):
    log(tmp_path, range(1, 8), '20260101_000000', loss=lambda s: 1.0)
    log(tmp_path, range(5, 7), '20260102_000000', loss=lambda s: 2.0)
    assert read_curves(tmp_path)['loss'] == ([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 2, 2])


def test_runs_of_one_folder_do_not_become_one_curve(runs, tmp_path):
    with pytest.raises(DataError, match='give a work directory'):
        read_curves(tmp_path)
    assert read_curves(tmp_path / 'b')['loss'] == read_curves(tmp_path / 'b' / '20260101_000000')['loss']


def test_a_curve_of_one_point_is_seen(tmp_path):
    log(tmp_path, [10], churn=lambda s: 0.5)
    (axis,) = (axis for axis in draw_pretraining([tmp_path]).figure.axes if axis.get_title() == 'churn')
    assert [line.get_marker() for line in axis.lines] == ['None', '.']


def test_few_points_are_marked_and_clocks_come_last(tmp_path):
    quantities = ('lr', 'clips_per_second', 'data_wait_percent', 'knn/clips_scored', 'churn', 'loss')
    log(tmp_path, range(30), **dict.fromkeys(quantities, float))
    with next(tmp_path.rglob('scalars.json')).open('a') as file:
        file.write('{"knn/top1": 30.0, "step": 29}\n')
    axes = {axis.get_title(): axis for axis in draw_pretraining([tmp_path]).axes if axis.get_title()}
    assert list(axes) == [
        'loss',
        'kNN top-1 (%), dotted: random',
        'learning rate',
        'clips per second',
        'wait for data (%)',
        'churn',
    ]
    assert axes['kNN top-1 (%), dotted: random'].lines[1].get_marker() == '.'
    assert axes['loss'].lines[1].get_marker() == 'None'


def test_random_weights_are_a_dotted_line_beside_the_score(tmp_path):
    log(tmp_path, range(10, 31, 10), **{'knn/top1': float, 'knn/random_top1': lambda s: 22.5})
    axes = {axis.get_title(): axis for axis in draw_pretraining([tmp_path]).axes if axis.get_title()}
    assert list(axes) == ['kNN top-1 (%), dotted: random']
    (axis,) = axes.values()
    assert axis.lines[-1].get_linestyle() == ':'
    assert axis.lines[-1].get_xydata().tolist() == [[0, 22.5], [30, 22.5]]


def test_a_validation_has_the_step_of_the_training_before_it(tmp_path):
    log(tmp_path, range(1, 5), tail='{"knn_top1": 30.0, "step": 1}\n', loss=lambda s: 1.0)
    assert read_curves(tmp_path)['knn_top1'] == ([4], [30.0])


def test_the_file_itself_may_be_given(runs):
    file = next(runs[0].rglob('scalars.json'))
    assert read_curves(file) == read_curves(runs[0])
    figure = draw_pretraining([file])
    assert figure.legends[0].get_texts()[0].get_text() == 'a'


def test_running_mean_known_by_hand():
    assert running_mean([1.0, 2.0]) == [1.0, 2.0]
    values = [float(i) for i in range(100)]
    assert running_mean(values)[:3] == [0.0, 0.5, 1.5]
    gap = [1.0, math.nan] + [1.0] * 98
    assert running_mean(gap) == [1.0] * 100


def test_what_cannot_be_drawn_is_named(tmp_path, runs):
    with pytest.raises(DataError, match='no vis_data/scalars'):
        draw_pretraining([tmp_path / 'nowhere'])
    with pytest.raises(DataError, match='No run was given'):
        draw_pretraining([])
    with pytest.raises(DataError, match='given twice'):
        draw_pretraining([runs[0], runs[0]])
    file = next(runs[1].rglob('scalars.json'))
    file.write_text('[1]\n' + file.read_text())
    with pytest.raises(DataError, match='line 1.* JSON'):
        draw_pretraining([runs[1]])
    log(tmp_path / 'empty', [])
    with pytest.raises(DataError, match='no logged values yet'):
        draw_pretraining([tmp_path / 'empty'])


@pytest.mark.integration
def test_the_command_needs_no_torch(runs, tmp_path):
    out = tmp_path / 'curves'
    code = (
        'import sys; from tools import plot; '
        f'status = plot.main(["--figure", "pretraining", "--runs", {str(runs[0])!r}, "--out", {str(out)!r}]); '
        'print(status, sorted({"torch", "mmengine", "cv2"} & set(sys.modules)))'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f'{out}.png: pretraining', f'{out}.svg: pretraining', '0 []'], done.stderr
    assert out.with_suffix('.png').stat().st_size > 5000


@pytest.mark.integration
def test_missing_options_are_one_sentence(tmp_path):
    assert_one_sentence(run_tool('tools/plot.py', '--figure', 'pretraining'), '--runs, --out')
    done = run_tool('tools/plot.py', '--figure', 'pretraining', '--runs', tmp_path / 'no', '--out', tmp_path / 'x')
    assert_one_sentence(done, 'no vis_data/scalars.json')
    assert not list(tmp_path.iterdir())
