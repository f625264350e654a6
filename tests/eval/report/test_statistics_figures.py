"""Critical difference, agreement of columns and bump chart: what is drawn is what was computed, and it fits."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from eval.report.agreement import agreements
from eval.report.figures import FigureError, caption_of, load_figure, width_inches
from eval.report.ranks import critical_difference
from eval.report.table import Table
from tests.eval.report.made import made_table

NAMES = ('critical_difference', 'protocol_correlations', 'rank_bump')
NAN = float('nan')


@pytest.fixture(scope='module')
def twenty(tmp_path_factory) -> Table:
    """Twenty encoders and random weights in six columns; one encoder lacks a column, one name is long."""
    rng = np.random.default_rng(0)
    skills = {f'encoder_{i:02d}': (85 - 2 * i + 6 * rng.standard_normal(6)).tolist() for i in range(18)}
    skills |= {'long_name_' + 7 * 'x_y' + '=1': [50.0] * 6, 'gap': [60.0] * 5 + [NAN], 'random': [10.0] * 6}
    return made_table(tmp_path_factory.mktemp('twenty'), skills, num_listed=60)


@pytest.fixture(scope='module')
def three(tmp_path_factory) -> Table:
    skills = {'a': [90] * 6, 'b': [60] * 5 + [99], 'c': [30] * 6, 'random': [10] * 6}
    return made_table(tmp_path_factory.mktemp('three'), skills)


@pytest.mark.parametrize('width', ['page', 'column'])
@pytest.mark.parametrize('name', NAMES)
def test_twenty_encoders_fit_at_both_widths(name, width, twenty):
    figure = load_figure(name)(twenty, width=width)
    assert figure.get_size_inches()[0] == width_inches(width)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    whole = figure.bbox
    texts = [text for axes in figure.axes for text in axes.texts]
    scaled = [axes for axes in figure.axes if axes.axison]
    texts += [label for axes in scaled for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    for text in texts:
        if text.get_text():
            box = text.get_window_extent(renderer)
            assert min(box.x0, box.y0) >= -1, text
            assert max(box.x1 - whole.x1, box.y1 - whole.y1) <= 1, text
            assert text.get_fontsize() >= 6
    caption = caption_of(figure)
    for fact in ('top-1 accuracy (%, higher is better)', 'Test videos: 60', 'n = 1 seed'):
        assert fact in caption


def lines_of(axes, linewidth):
    return [line.get_xdata() for line in axes.lines if line.get_linewidth() == linewidth]


def test_the_diagram_shows_ranks_the_critical_difference_and_groups(three):
    found = critical_difference(three)
    figure = load_figure('critical_difference')(three)
    (axes,) = figure.axes
    flat = [line for line in axes.lines if line.get_color() == '#222222' and len(set(line.get_ydata())) == 1]
    scale, difference = (next(line for line in flat if line.get_linewidth() == width) for width in (0.8, 1.0))
    start, stop = scale.get_xdata()
    unit = (stop - start) / 2  # ranks 1 to 3
    assert np.ptp(difference.get_xdata()) == pytest.approx(found.difference * unit)
    texts = [text.get_text() for text in axes.texts]
    for row, rank in zip(found.rows, found.ranks):
        assert any(row in text and f'{rank:.2f}' in text for text in texts)
    bars = lines_of(axes, 2.2)
    assert len(bars) == len(found.groups) > 0
    for (first, last), bar in zip(found.groups, bars):
        wanted = [start + unit * (found.ranks[i] - 1) for i in (first, last)]
        assert bar == pytest.approx([wanted[0] - 0.03, wanted[1] + 0.03])
    assert f'{found.difference:.2f} apart' in caption_of(figure)


def test_few_columns_or_encoders_give_a_sentence(three, tmp_path):
    part = three.only(lambda column: column.dataset == 'data0')
    figure = load_figure('critical_difference')(part, width='column')
    assert 'needs 5 columns or more' in ' '.join(figure.texts[0].get_text().split())
    two = made_table(tmp_path, {'a': [50], 'b': [40]})
    figure = load_figure('protocol_correlations')(two)
    assert 'no two of them share three encoders' in ' '.join(figure.texts[0].get_text().split())
    assert load_figure('rank_bump')(two).axes
    alone = made_table(tmp_path / 'alone', {'a': [50]})
    with pytest.raises(FigureError, match='No column has two encoders'):
        load_figure('rank_bump')(alone)


def test_the_map_shows_tau_below_and_rho_above_the_diagonal(three):
    axes = load_figure('protocol_correlations')(three).axes[0]
    shown = axes.images[0].get_array()
    assert shown.shape == (6, 6)
    texts = {tuple(np.round(text.get_position()).astype(int)): text.get_text() for text in axes.texts}
    for each in agreements(three):
        i, j = (int(column.dataset[-1]) for column in (each.first, each.second))
        assert shown[j, i] == pytest.approx(each.tau)
        assert shown[i, j] == pytest.approx(each.rho)
    assert np.ma.getmaskarray(shown)[np.arange(6), np.arange(6)].all()
    assert len(texts) == 30  # a number, and its interval, in each cell but those of the diagonal
    assert '1.00' in {text.get_text() for text in axes.texts}


def test_the_bump_chart_shows_the_ranks_of_each_column_and_a_gap(three, twenty):
    (axes,) = load_figure('rank_bump')(three).axes
    drawn = [line.get_ydata().tolist() for line in axes.lines]
    assert drawn == [[1, 1, 1, 1, 1, 2, 1], [2, 2, 2, 2, 2, 1, 2], [3] * 7, [4] * 7]
    assert [text.get_text() for text in axes.texts] == ['a', 'b', 'c', 'random']
    (axes,) = load_figure('rank_bump')(twenty).axes
    names = [text.get_text() for text in axes.texts]
    gap = axes.lines[names.index('gap')].get_ydata()
    assert np.isnan(gap).tolist() == [False] * 5 + [True, False]
    assert 'A gap is a missing score' in caption_of(load_figure('rank_bump')(twenty))
