"""Every figure in the folder, drawn from committed records; names, looks and captions; and what the bars show."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.textpath import TextPath

from eval.metrics import write_predictions
from eval.records import RecordError, predictions_path, read_records, write_record
from eval.report.figures import (
    BASELINE_COLOUR,
    PALETTE,
    WIDTHS,
    FigureError,
    caption_of,
    captioned,
    draw_figure,
    figure_names,
    load_figure,
    looks,
    render,
    save_figure,
)
from eval.report.figures._layout import compact, fitting, short_names, shortened, text_width, wrapped
from eval.report.figures.bars import draw
from eval.report.papers import read_paper
from eval.report.summaries import SUMMARIES
from eval.report.table import Table, select
from tests.eval.report.paper import faults

COMMITTED = Path(__file__).parents[2] / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import add_record, make_record  # noqa: E402


@pytest.fixture(scope='module')
def table():
    return Table(select(read_records(COMMITTED)))


@pytest.mark.parametrize('name', ['bars', 'heatmap'])
def test_a_figure_draws_the_committed_records_twice_alike(table, name):
    figures = [draw_figure(name, table, width) for width in ('column', 'column')]
    assert figures[0].get_figwidth() == 3.4
    for ending, start in [('.png', b'\x89PNG'), ('.svg', b'<?xml'), ('.pdf', b'%PDF')]:
        first, second = (render(figure, ending) for figure in figures)
        assert first == second
        assert first.startswith(start)
        assert b'<dc:date>' not in first
    assert b'/FontFile2' in render(figures[0], '.pdf')  # TrueType, embedded


def test_a_width_that_is_none(table):
    with pytest.raises(FigureError, match="Unknown width 'colum'. Did you mean 'column'"):
        draw_figure('bars', table, 'colum')
    assert WIDTHS == {'page': 7.0, 'column': 3.4}


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
    written = save_figure(figure, tmp_path / 'new' / 'bars')
    assert [path.name for path in written] == ['bars.png', 'bars.svg', 'bars.caption.txt']
    assert written[-1].read_text() == caption_of(figure) + '\n'
    assert [path.name for path in save_figure(figure, tmp_path / 'one.svg')] == ['one.svg', 'one.caption.txt']
    assert 'Mean score of each encoder' in (tmp_path / 'one.svg').read_text()  # the caption travels with the file
    with pytest.raises(FigureError, match=r'ends in \.jpg; give \.png'):
        save_figure(figure, tmp_path / 'bars.jpg')
    with pytest.raises(FigureError, match='is a folder'):
        save_figure(figure, tmp_path / 'new')
    with pytest.raises(FigureError, match='cannot be written'):
        save_figure(figure, tmp_path / 'one.svg' / 'below.png')
    kept = sorted(path.name for path in tmp_path.rglob('*.*'))
    assert kept == ['bars.caption.txt', 'bars.png', 'bars.svg', 'one.caption.txt', 'one.svg']


def test_a_figure_of_ones_own_may_take_no_width(tmp_path, table):
    path = tmp_path / 'mine.py'
    path.write_text('def draw(table):\n    return len(table.rows)\n')
    assert draw_figure(str(path), table, 'column') == 3
    path.write_text('def draw(table, *, width):\n    return width\n')
    assert draw_figure(str(path), table, 'column', every_column=True) == 'column'


# --- looks -----


def test_each_row_has_a_look_of_its_own():
    look = looks(['random', *(f'e{i}' for i in range(39))])
    assert len({(each.colour, each.hatch) for each in look.values()}) == 40  # bars
    assert len({(each.colour, each.marker) for each in look.values()}) == 40  # points
    assert len({(each.colour, str(each.dashes)) for each in look.values()}) == 40  # lines
    assert look['random'].colour == look['random [other]'[:6]].colour == BASELINE_COLOUR


def test_a_look_belongs_to_the_whole_table():
    whole = Table(
        [make_record(name, value=50.0, dataset=d) for d in ('x', 'y') for name in 'abc' if (d, name) != ('y', 'a')]
    )
    part = whole.only(lambda column: column.dataset == 'y')
    assert part.rows == ['b', 'c']
    assert looks(part)['b'] == looks(whole)['b']
    assert looks(part)['b'].colour == PALETTE[1]


def test_published_rows_have_the_colour_of_their_encoder_and_are_pale():
    look = looks(['random', 'mvd', 'mvd (published)', 'new', 'svt (published, severe)'])
    assert look['mvd (published)'].colour == look['mvd'].colour == PALETTE[0]
    assert look['svt (published, severe)'].colour == PALETTE[2]
    assert look['mvd'].area() == {'facecolor': PALETTE[0], 'hatch': '', 'edgecolor': 'white', 'linewidth': 0}
    assert look['mvd (published)'].area()['facecolor'] == '#99C7E0'  # 60 % white
    assert look['mvd (published)'].area()['hatch'] == '////'
    assert look['mvd (published)'].line()['markerfacecolor'] == 'white'


# Linear RGB as people without one kind of cone see it (Machado, Oliveira and Fernandes 2009, severity 1).
CONES = {
    'all': np.eye(3),
    'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    'tritanopia': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize('cones, least', [('all', 26), ('protanopia', 15), ('deuteranopia', 15), ('tritanopia', 15)])
def test_the_colours_stay_apart_for_any_colour_vision(cones, least):
    from skimage.color import rgb2lab

    rgb = np.array([to_rgb(colour) for colour in (*PALETTE, BASELINE_COLOUR)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(CONES[cones]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(len(lab))
    assert distance.min() > least


# --- names and texts -----


def test_short_names_are_short_and_differ():
    long = [f'{"a" * 60}{i:020d}' for i in range(2)]  # 80 characters
    found = short_names(['mvd (published)', 'mvd (published, severe)', 'x\ny', *long])
    assert found['mvd (published)'] == 'mvd †'
    assert found['mvd (published, severe)'] == 'mvd † severe'
    assert found['x\ny'] == 'x\\ny'  # as a name on one line
    assert [found[name] for name in long] == ['aaaaaaaaaaaaaa…0000000', 'aaaaaaaaaaaaaa…0000001']
    same = [f'{"a" * 40}{"b" * i}{"c" * 40}' for i in range(2)]
    assert list(short_names(same).values()) == ['aaaaaaaaaaaaaa…ccccccc', 'aaaaaaaaaaaaaa…ccccccc (2)']


def test_texts_that_fit():
    assert shortened('0123456789', 7) == '0123…89'
    assert shortened('0123456789', 10) == '0123456789'
    assert shortened('0123456789', 7, at_end=True) == '012345…'
    assert text_width(fitting('m' * 50, 0.5, 6), 6) <= 0.5
    lines = wrapped('ucf101 (1000-examples)\xa0↑', 0.55, 6).split('\n')
    assert lines == ['ucf101', '(1000-', 'examples)\xa0↑']  # after a hyphen, and the arrow stays with its word
    assert [compact(value) for value in (5, 1500, 2e9, 5e21)] == ['5', '1.5k', '2G', '5e21']


HOSTILE = ('$x^2$_{1}', '<b>&amp;', '%s{}\\n', 'נוירון‏_רשת', 'n' * 80)


@pytest.mark.parametrize('name', ['bars', 'heatmap', 'radar'])
def test_names_with_markup_are_plain_letters(name):
    table = Table(
        [make_record(e, dataset=d, value=9.0 + i) for i, e in enumerate(HOSTILE) for d in ('$a$', 'b_c', '<d>')]
    )
    figure = draw_figure(name, table, 'page')
    assert faults(figure) == []
    svg = render(figure, '.svg').decode()
    comments = re.findall('<!-- (.*?) -->', svg)  # matplotlib writes each text as a comment before its letters
    assert '$x^2$_{1}' in ' '.join(comments)
    assert '<b>' not in svg.replace('<b>&amp;', '')
    assert render(figure, '.pdf').startswith(b'%PDF')
    assert f'nnnnnnnnnnnnnn…nnnnnnn is {"n" * 80}' in caption_of(figure)


def test_captions_are_one_line():
    assert caption_of(captioned(Figure(), 'a\nb\x07c')) == 'a b\\x07c'
    assert caption_of(Figure()) == ''


def test_the_judge_of_figures_sees_what_is_wrong():
    figure = Figure((2, 1))
    assert faults(figure) == []
    figure.text(0.5, 0.5, 'one', fontsize=6)
    figure.text(0.5, 0.5, 'two', fontsize=5)
    figure.text(0.95, 0.1, 'too long', fontsize=6)
    found = ' '.join(faults(figure))
    assert "'two' has 5.0 points" in found
    assert "'too long' is cut off" in found
    assert "'one' lies on 'two'" in found
    assert len(faults(figure)) == 3


# --- bars -----


def values_beside(axes) -> list[str]:
    return [text.get_text() for text in axes.texts if isinstance(text, Annotation)]


def widths(axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches]


def test_bars_stand_at_the_scores(tmp_path):
    wanted = {
        dataset: [
            add_record(tmp_path, encoder=encoder, accuracy=accuracy, dataset=dataset).score['value']
            for encoder, accuracy in [('random', 30), ('sigma_mlp_toy', 60)]
        ]
        for dataset in ('toy', 'toy_shift')
    }
    figure = draw(Table(select(read_records(tmp_path))))
    assert [widths(axes) for axes in figure.axes] == list(wanted.values())
    assert [values_beside(axes) for axes in figure.axes] == [[f'{v:.1f}' for v in each] for each in wanted.values()]
    assert {axes.get_xlabel() for axes in figure.axes} == {'top-1\naccuracy (%)\xa0↑'.replace('\n', ' ')}
    assert [text.get_text() for text in figure.legends[0].texts] == ['chance']
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ['random', 'sigma_mlp_toy']
    assert all(axes.get_xlim()[0] == 0 for axes in figure.axes)
    # Whiskers end where the interval of a single seed does.
    segments = [s[:, 0] for lines in figure.axes[0].collections for s in lines.get_segments() if len(s) == 2]
    p, z = wanted['toy'][0] / 100, 1.959964
    centre, half = p + z**2 / 200, z * math.sqrt(p * (1 - p) / 100 + z**2 / 40000)
    ends = [100 * (centre - half) / (1 + z**2 / 100), 100 * (centre + half) / (1 + z**2 / 100)]
    assert ends == pytest.approx(next(each for each in segments if each[0] != each[1]))
    said = caption_of(figure)
    assert 'Metric: top-1 accuracy (%, higher is better). Test videos: 100 in each column. n = 1 seed. ' in said
    assert 'Intervals: 95 %. n=1: the interval covers the choice of test videos, not the choice of seed.' in said


def test_bars_say_what_is_missing_unscored_and_how_many_seeds(table):
    figure = draw(table)
    texts = [text for axes in figure.axes for text in values_beside(axes)]
    assert texts.count('missing') == 3
    assert sum(text.endswith('*') for text in texts) == 1
    assert 'Not all videos scored: sigma_mlp_toy in finetune / toy_shift lacks 1 of 100' in caption_of(figure)
    assert 'n = 1 to 2 seeds' in caption_of(figure)


@pytest.mark.parametrize('width', WIDTHS)
@pytest.mark.parametrize('num_encoders, num_datasets', [(1, 1), (4, 7), (23, 1)])
def test_bars_fit_the_paper(num_encoders, num_datasets, width):
    records = [
        make_record(f'encoder_{i:02d}', dataset=f'dataset_{j}', subset='10-a-class', value=20.0 + i + 5 * j, seed=seed)
        for i in range(num_encoders)
        for j in range(num_datasets)
        for seed in range(2)
    ]
    figure = draw(Table(records), width=width)
    assert figure.get_figwidth() == WIDTHS[width]
    assert faults(figure) == []


def test_bars_refuse_unlike_records():
    other = make_record('b')
    other.protocol['version'] = 2
    with pytest.raises(RecordError, match=r'protocol\.version'):
        draw(Table([make_record('a'), other]))


def test_other_metrics_and_units_are_named():
    error = make_record('a', metric='count_error', dataset='reps', value=0.178)
    error.score.update(unit='ratio', higher_is_better=False)
    percents, ratios = draw(Table([make_record('a', value=40.0), error])).axes
    assert (percents.get_xlabel(), ratios.get_xlabel()) == ('top-1 accuracy (%)\xa0↑', 'count error (ratio)\xa0↓')
    assert (widths(ratios), values_beside(ratios)) == ([0.178], ['0.178'])
    assert ratios.get_xlim()[1] < 0.25
    assert percents.get_xlim()[1] < 60  # each panel has its own scale


def test_a_figure_says_what_chance_is_where_it_is_no_guess(tmp_path):
    record = make_record('a', metric='count_error', dataset='reps', num_listed=2, num_classes=1, value=0.125)
    record.score.update(unit='ratio', higher_is_better=False)
    write_predictions(predictions_path(write_record(record, tmp_path)), ['x', 'y'], [4, 10], [[5.2], [9.6]])
    figure = draw(Table(read_records(tmp_path)))
    assert 'Chance (dashed): the best constant count' in caption_of(figure)
    # Always 10: 1.5 too much for the first; always 4: 0.6 too little for the second, so the mean is 0.3.
    (dashes,) = [line for line in figure.axes[0].lines if line.get_linestyle() == '--']
    assert list(dashes.get_xdata()) == pytest.approx([0.3, 0.3])


def test_bars_that_scored_too_little_are_pale_and_named():
    records = [make_record('a', value=40.0), make_record('b', value=60.0, num_unscored=2)]
    figure = draw(Table(records))
    (axes,) = figure.axes
    assert [bar.get_alpha() for bar in axes.patches] == [None, 0.4]
    assert values_beside(axes) == ['40.0', '60.0!']
    assert 'b in finetune / toy lacks 2 of 100 (seed 0), first test/0098' in caption_of(figure)
    (axes,) = draw(Table(records, allow_partial=True)).axes
    assert [bar.get_alpha() for bar in axes.patches] == [None, None]
    assert values_beside(axes) == ['40.0', '60.0*']


def test_published_rows_and_their_mean():
    few = select(read_paper('severepp'), encoders=['Supervised-R2plus1D', 'MGM', 'MoCo'])
    figure = draw(Table(few, summary=SUMMARIES['severe']))
    panels = {axes.get_title().splitlines()[-1]: axes for axes in figure.axes if axes.get_visible()}
    assert 'no mean' in values_beside(panels['mean of 8'])  # MGM
    assert '70.8' in values_beside(panels['mean of 8'])
    said = caption_of(figure)
    assert 'Published: SEVERE++ (arXiv:2504.05706), the 8-experiment benchmark.' in said
    assert 'MGM (published): missing finetune / ucf101 / 1000-examples; finetune / gym99 / 1000-examples' in said
    assert '† published numbers, not measured here.' in said


@pytest.mark.parametrize('name', ['bars', 'heatmap'])
def test_columns_that_only_papers_have_are_left_out_unless_asked(name):
    ours = make_record('mine', dataset='ssv2', num_classes=174, num_listed=200, value=50.0)
    published = Table([ours, *read_paper('sigma_severe')])
    assert len(published.columns) == 8
    figure, whole = (draw_figure(name, published, 'page', every_column=every) for every in (False, True))
    assert (figure.get_figwidth(), whole.get_figwidth()) == (7, 7)
    assert len([axes for axes in figure.axes if axes.get_visible()]) < len(whole.axes) or name == 'heatmap'
    said = caption_of(figure)
    assert 'Left out, since only published rows have them (--every-column shows them): finetune / gym99;' in said
    assert 'Left out' not in caption_of(whole)
    assert whole.get_figheight() < 9.2  # 2100 x 9060 pixels once


@pytest.mark.parametrize('text', ['encoder_07 (published)', 'Ω†↑ àéß %&@', 'l', ' .'])
def test_widths_of_text_are_those_of_its_outline(text):
    outline = TextPath((0, 0), text, size=6.5, usetex=False)
    assert text_width(text, 6.5) == pytest.approx(outline.get_extents().width / 72, abs=1e-12)
