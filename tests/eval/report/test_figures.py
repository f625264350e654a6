"""Every figure in the folder, drawn from the committed records; and what the bars show."""

import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from eval.metrics import write_predictions
from eval.records import RecordError, predictions_path, read_records, write_record
from eval.report.figures import FigureError, colours, figure_names, load_figure, render, save_figure
from eval.report.figures.bars import draw
from eval.report.papers import read_paper
from eval.report.summaries import SUMMARIES
from eval.report.table import Table, select

COMMITTED = Path(__file__).parents[2] / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import add_record, make_record  # noqa: E402

# Drawn from sweeps over corruptions or from a video: tests/eval/report/test_sweep_figures.py.
OTHER = ('severity_curves', 'robustness_heatmap', 'corruption_sheet')


@pytest.mark.parametrize('name', sorted(set(figure_names()) - set(OTHER)))
def test_every_figure_draws_the_committed_records_twice_alike(name):
    figures = [load_figure(name)(Table(select(read_records(COMMITTED)))) for _ in range(2)]
    assert load_figure(name).__doc__.strip()
    for ending, start in [('.png', b'\x89PNG'), ('.svg', b'<?xml'), ('.pdf', b'%PDF')]:
        first, second = (render(figure, ending) for figure in figures)
        assert first == second
        assert first.startswith(start)
        assert b'<dc:date>' not in first


def test_unknown_figure():
    assert 'bars' in figure_names()
    with pytest.raises(FigureError, match="Unknown figure 'bar'. Did you mean 'bars'"):
        load_figure('bar')


def test_a_figure_by_its_path(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text('def draw(table):\n    return len(table.rows)\n')
    table = Table(select(read_records(COMMITTED)))
    assert load_figure(str(path))(table) == len(table.rows)
    path.write_text('drawing = 1\n')
    with pytest.raises(FigureError, match=r'mine.py has no draw\(table\)'):
        load_figure(str(path))
    path.write_text('import absent_package\n')
    with pytest.raises(FigureError, match='mine.py cannot be loaded: ModuleNotFoundError.*absent_package'):
        load_figure(str(path))
    with pytest.raises(FigureError, match='absent.py does not exist'):
        load_figure(str(tmp_path / 'absent.py'))


def test_endings(tmp_path):
    figure = draw(Table(select(read_records(COMMITTED))))
    assert [path.name for path in save_figure(figure, tmp_path / 'new' / 'bars')] == ['bars.png', 'bars.svg']
    assert [path.name for path in save_figure(figure, tmp_path / 'one.svg')] == ['one.svg']
    with pytest.raises(FigureError, match=r'ends in \.jpg; give \.png'):
        save_figure(figure, tmp_path / 'bars.jpg')
    with pytest.raises(FigureError, match='is a folder'):
        save_figure(figure, tmp_path / 'new')
    with pytest.raises(FigureError, match='cannot be written'):
        save_figure(figure, tmp_path / 'one.svg' / 'below.png')
    assert sorted(path.name for path in tmp_path.rglob('*.*')) == ['bars.png', 'bars.svg', 'one.svg']


def test_each_row_has_a_look_of_its_own():
    look = colours(['random', *(f'e{i}' for i in range(27))])
    assert len(set(look.values())) == 28
    assert look['random'] == ('#9A9A9A', '')


def values_above(axes) -> list[str]:
    return [text.get_text() for text in axes.texts if isinstance(text, Annotation)]


def test_bars_stand_at_the_scores(tmp_path):
    wanted = [
        add_record(tmp_path, encoder=encoder, accuracy=accuracy, dataset=dataset).score['value']
        for dataset in ('toy', 'toy_shift')
        for encoder, accuracy in [('random', 30), ('sigma_mlp_toy', 60)]
    ]
    figure = draw(Table(select(read_records(tmp_path))))
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == wanted
    assert values_above(axes) == [f'{value:.1f}' for value in wanted]
    assert axes.get_ylabel() == 'top-1 accuracy (%)'
    assert [text.get_text() for text in figure.legends[0].texts] == ['random', 'sigma_mlp_toy', 'chance']
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ['finetune\ntoy\n100 test videos', 'finetune\ntoy_shift\n100 test videos']
    assert 'over test videos only' in figure._supxlabel.get_text()
    # Whiskers end where the interval of a single seed does.
    ends = [segment[:, 1] for lines in axes.collections for segment in lines.get_segments() if len(segment) == 2]
    p, z = wanted[0] / 100, 1.959964
    centre, half = p + z**2 / 200, z * math.sqrt(p * (1 - p) / 100 + z**2 / 40000)
    assert [
        100 * (centre - half) / (1 + z**2 / 100),
        100 * (centre + half) / (1 + z**2 / 100),
    ] == pytest.approx(next(end for end in ends if end[0] != end[1]))


def test_bars_say_what_is_missing_unscored_and_how_many_seeds():
    figure = draw(Table(select(read_records(COMMITTED))))
    (axes,) = figure.axes
    assert values_above(axes).count('missing') == 3
    assert sum(text.endswith('*') for text in values_above(axes)) == 1
    assert 'sigma_mlp_toy in finetune / toy_shift lacks 1 of 100' in figure._supxlabel.get_text()
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend == ['random (n=1–2)', 'sigma_mlp_toy (n=1–2)', 'videomae_toy (n=1)', 'chance']


@pytest.mark.parametrize('num_encoders, num_datasets', [(1, 1), (3, 3), (4, 7), (12, 2), (23, 1)])
def test_no_text_lies_on_another(num_encoders, num_datasets):
    records = [
        make_record(f'encoder_{i:02d}', dataset=f'dataset_{j}', subset='10-a-class', value=20.0 + i + 5 * j, seed=seed)
        for i in range(num_encoders)
        for j in range(num_datasets)
        for seed in range(2)
    ]
    figure = draw(Table(records))
    assert figure.get_figwidth() <= 7.0
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for axes in figure.axes for text in (*axes.texts, *axes.get_xticklabels(), axes.yaxis.label)]
    texts += [*figure.legends[0].texts, figure._supxlabel]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text().strip()]
    assert [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)] == []
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    scales = [axes.get_ylim() for axes in figure.axes]
    assert all(a == b for a, b in pairwise(scales))


def test_bars_refuse_unlike_records():
    other = make_record('b')
    other.protocol['version'] = 2
    with pytest.raises(RecordError, match=r'protocol\.version'):
        draw(Table([make_record('a'), other]))


def test_other_metrics_and_units_are_named():
    error = make_record('a', metric='count_error', dataset='reps', value=140.0)
    error.score.update(unit='percent', higher_is_better=False)
    (axes,) = draw(Table([make_record('a', value=40.0), error])).axes
    assert axes.get_ylabel() == 'score (%)'
    assert 'count error\n(lower is better)' in axes.get_xticklabels()[1].get_text()
    assert values_above(axes) == ['40.0', '140.0']


def test_ratios_stand_on_a_scale_of_their_own():
    error = make_record('a', metric='count_error', dataset='reps', value=0.178)
    error.score.update(unit='ratio', higher_is_better=False)
    percents, ratios = draw(
        Table([make_record('a', value=40.0), make_record('a', dataset='b', value=60.0), error])
    ).axes
    assert (percents.get_ylabel(), ratios.get_ylabel()) == ('top-1 accuracy (%)', 'count error (ratio)')
    assert [bar.get_height() for bar in ratios.patches] == [0.178]
    assert values_above(ratios) == ['0.178']
    assert ratios.get_ylim()[1] < 0.25
    assert percents.get_ylim()[1] > 60
    assert max(ratios.get_yticks()) < 0.25


def test_a_figure_says_what_chance_is_where_it_is_no_guess(tmp_path):
    record = make_record('a', metric='count_error', dataset='reps', num_listed=2, num_classes=1, value=0.125)
    record.score.update(unit='ratio', higher_is_better=False)
    write_predictions(predictions_path(write_record(record, tmp_path)), ['x', 'y'], [4, 10], [[5.2], [9.6]])
    figure = draw(Table(read_records(tmp_path)))
    assert 'Chance: the best constant count' in figure._supxlabel.get_text().replace('\n', ' ')
    # Always 10: 1.5 too much for the first; always 4: 0.6 too little for the second, so the mean is 0.3.
    dashes = [line for line in figure.axes[0].collections if line.get_linestyle() != [(0, None)]]
    assert dashes[0].get_segments()[0][:, 1] == pytest.approx([0.3, 0.3])
    assert 'Chance' not in draw(Table([make_record(value=40.0)]))._supxlabel.get_text()


def test_bars_that_scored_too_little_are_pale_and_named(tmp_path):
    records = [make_record('a', value=40.0), make_record('b', value=60.0, num_unscored=2)]
    figure = draw(Table(records))
    (axes,) = figure.axes
    assert [bar.get_alpha() for bar in axes.patches] == [None, 0.4]
    assert values_above(axes) == ['40.0', '60.0!']
    note = figure._supxlabel.get_text().replace('\n', ' ')
    assert 'b in finetune / toy lacks 2 of 100 (seed 0), first test/0098' in note
    (axes,) = draw(Table(records, allow_partial=True)).axes
    assert [bar.get_alpha() for bar in axes.patches] == [None, None]
    assert values_above(axes) == ['40.0', '60.0*']


def test_published_rows_and_their_mean():
    few = select(read_paper('severepp'), encoders=['Supervised-R2plus1D', 'MGM', 'MoCo'])
    figure = draw(Table(few, summary=SUMMARIES['severe']))
    groups = {label.get_text().splitlines()[0]: axes for axes in figure.axes for label in axes.get_xticklabels()}
    assert set(groups) == {'finetune', 'multi label', 'mean of 8', 'repetition'}
    assert 'no mean' in values_above(groups['mean of 8'])  # MGM
    assert '70.8' in values_above(groups['mean of 8'])
    note = figure._supxlabel.get_text().replace('\n', ' ')
    assert 'Published: SEVERE++ (arXiv:2504.05706), the 8-experiment benchmark.' in note
    assert 'MGM (published): missing finetune / ucf101 / 1000-examples; finetune / gym99 / 1000-examples' in note
