"""Every figure of results for eight and twenty encoders, at both widths, from the committed records of the gallery."""

import json
import sys

import pytest

from eval.report.figures import WIDTHS, FigureError, caption_of, draw_figure, figure_names
from eval.report.figures.map_over_iou import curve
from eval.report.figures.radar import INNER
from eval.report.figures.shots_ladder import IN_ALL, PER_CLASS, apart, ladders
from eval.report.table import Table
from tests.conftest import ROOT
from tests.eval.report.paper import faults

sys.path[:0] = [str(ROOT / 'tools'), str(ROOT / 'tests' / 'data' / 'records')]
import gallery  # noqa: E402
from build_records import make_record  # noqa: E402

PAGE_HEIGHT = 9.25  # inches of a page of a paper
FROM_TABLE = sorted(set(figure_names()) - set(gallery.FROM_FILE))
# The other figure of costs is the same but for its x axis, so it is drawn once.
DRAWN = [(name, count) for name in FROM_TABLE for count in gallery.COUNTS]
DRAWN.remove(('accuracy_vs_pretraining_flops', 20))


# --- the gallery -----


@pytest.fixture(scope='module')
def tables():
    return gallery.tables()


@pytest.mark.integration  # 38 figures with up to 180 bars, from 640 records: 35 s on one core
@pytest.mark.parametrize('name, count', DRAWN)
def test_figures_fit_a_paper(tables, name, count):
    table = gallery.part_for(name, tables[count])
    for width, inches in WIDTHS.items():
        figure = draw_figure(name, table, width)
        assert figure.get_figwidth() == inches
        assert figure.get_figheight() <= PAGE_HEIGHT
        assert faults(figure) == []
        said = caption_of(figure)
        assert 'higher is better' in said
        assert 'seed' in said
        assert len(said) < 2500


@pytest.mark.integration  # shares the records of the figures above
def test_the_records_of_the_gallery_are_what_the_script_makes(tables, tmp_path):
    import build_gallery

    assert list(build_gallery.encoders())[:2] == ['random', 'pixel_s']
    assert [len(table.every_row) for table in tables.values()] == [8, 20]
    assert max(map(len, tables[20].every_row)) == 80
    assert build_gallery.ARCHIVE.stat().st_size < 1_500_000
    build_gallery.build_encoder(tmp_path / 'made', 'token_b')
    there = build_gallery.unpack(tmp_path / 'packed')
    made = sorted(path.relative_to(tmp_path / 'made') for path in (tmp_path / 'made').rglob('*.json'))
    assert len(made) > 20
    for path in made:  # the bytes of an .npz file depend on the version of Python
        old, new = (json.loads((folder / path).read_text()) for folder in (there, tmp_path / 'made'))
        assert old | {'predictions_sha256': None} == new | {'predictions_sha256': None}


def test_the_page_shows_every_figure():
    text = gallery.PAGE.read_text()
    for name, sentence in gallery.sentences().items():
        section = text.partition(f'## {name}\n')[2].partition('\n## ')[0]
        assert gallery.wrapped(sentence) in section, 'run python tools/gallery.py'
        for file in gallery.picture_names(name):
            assert f'(gallery/{file})' in section
            assert (gallery.PICTURES / file).is_file()
    known = {file for name in gallery.sentences() for file in gallery.picture_names(name)}
    assert {path.name for path in gallery.PICTURES.iterdir()} == known
    assert sum(path.stat().st_size for path in gallery.PICTURES.iterdir()) < 2_500_000


def test_an_unknown_figure_of_the_gallery(capsys):
    with pytest.raises(SystemExit):
        gallery.main(['--figures', 'bar'])
    assert "Did you mean 'bars'" in capsys.readouterr().err


# --- what they show -----


def scores(**kinds) -> list:
    """Two encoders in three columns."""
    return [
        make_record(encoder, dataset=dataset, value=value, **kinds)
        for encoder, values in {'a': (10, 50, 30), 'b': (30, 40, 30.5)}.items()
        for dataset, value in zip('xyz', values)
    ]


def test_a_heat_map_shades_each_column_from_its_worst_to_its_best():
    error = [make_record(e, dataset='reps', metric='count_error', value=v) for e, v in (('a', 0.2), ('b', 0.4))]
    for record in error:
        record.score.update(unit='ratio', higher_is_better=False)
    figure = draw_figure('heatmap', Table([*scores()[:5], *error]))
    shades = figure.axes[0].images[0].get_array()
    assert shades[0].tolist() == [0, 1, 0.5, 1]  # a: worst, best, alone, the smaller error
    assert shades[1].tolist() == [1, 0, None, 0]  # b has no score in z
    texts = {text.get_text(): text.get_fontweight() for text in figure.axes[0].texts}
    assert texts['30.0'] == texts['50.0'] == texts['0.200'] == 'bold'
    assert texts['40.0'] == texts['–'] == 'normal'
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ['x\xa0↑', 'y\xa0↑', 'z\xa0↑', 'reps\xa0↓']


def test_a_radar_has_the_best_on_its_rim_and_the_worst_on_its_inner_ring():
    figure = draw_figure('radar', Table(scores()))
    a, b = (line.get_ydata()[:-1].tolist() for line in figure.axes[0].lines)  # the last closes the outline
    assert (a, b) == ([INNER, 1, INNER], [1, INNER, 1])
    assert 'Ends of the spokes: x 10.0–30.0 %; y 40.0–50.0 %; z 30.0–30.5 %' in caption_of(figure)
    with pytest.raises(FigureError, match='needs three columns with two encoders or more, and the records have 2'):
        draw_figure('radar', Table(scores()[:5]))


def ladder() -> list:
    records = []
    for subset, num_train, value in (('10-a-class', 100, 40), ('5-a-class', 50, 20), (None, 2000, 80)):
        record = make_record('a', dataset='x', subset=subset, value=value)
        record.dataset['num_train'] = num_train
        records.append(record)
    return records


def test_a_ladder_goes_from_few_to_many_clips_per_class():
    (axes,) = draw_figure('shots_ladder', Table(ladder())).axes
    line = axes.lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([5, 10, 200], [20, 40, 80])  # 2000 clips of 10 classes
    assert axes.get_xscale() == 'log'
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ['5', '10', '200']
    with pytest.raises(FigureError, match='No dataset has scores for two numbers of training clips'):
        draw_figure('shots_ladder', Table(ladder()[:1]))


def test_subsets_counted_in_all_have_a_ladder_of_their_own():
    thousand = make_record('a', dataset='x', subset='1000-examples', value=60)
    found = ladders(Table([*ladder(), thousand]))
    assert {key[2]: list(steps) for key, steps in found.items()} == {PER_CLASS: [5, 10, 200], IN_ALL: [1000, 2000]}
    assert apart([9.9, 10, 20, 90]) == [10, 20, 90]  # 9.9 would be written over 10


def test_localization_is_drawn_where_seeds_hold_map_at_two_thresholds():
    others = ({'map_30': 60.0, 'map_50': 40.0, 'map_50_95': 20.0}, {'map_30': 50.0, 'map_50': 30.0, 'map_70': 9.0})
    records = [make_record('a', 'localization', 'x', metric='map_30_70', value=30.0, seed=seed) for seed in (0, 1)]
    for record, held in zip(records, others):
        record.score['others'] = held
    table = Table(records)
    (column,) = table.columns
    assert curve(column.cells['a']) == {0.3: [60, 50], 0.5: [40, 30]}
    (axes,) = draw_figure('map_over_iou', table).axes
    assert list(axes.lines[0].get_ydata()) == [55, 35]
    area = axes.collections[0].get_paths()[0].vertices
    assert (area[:, 1].min(), area[:, 1].max()) == (30, 60)
    with pytest.raises(FigureError, match='No record holds mAP at two temporal IoUs'):
        draw_figure('map_over_iou', Table(scores()))


def test_frozen_and_finetuned_scores_of_one_dataset_meet():
    frozen = [make_record(e, 'frozen_linear', 'x', value=v) for e, v in (('a', 5.0), ('c', 7.0))]
    figure = draw_figure('frozen_vs_finetuned', Table([*scores(), *frozen]))
    (axes,) = figure.axes
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() != 'None']
    assert points[:1] == [(5, 10)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        'frozen linear, top-1 accuracy (%)\xa0↑',
        'fine-tuned, top-1 accuracy (%)\xa0↑',
    )
    assert 'Only one of the two scores in frozen_linear / x: c, b.' in caption_of(figure)
    with pytest.raises(FigureError, match='No encoder has both a frozen and a fine-tuned score on one dataset'):
        draw_figure('frozen_vs_finetuned', Table(scores()))


@pytest.mark.parametrize(
    'name, key', [('accuracy_vs_encoder_flops', 'flops'), ('accuracy_vs_pretraining_flops', 'pretraining_flops')]
)
def test_costs_come_from_the_records_alone(name, key):
    records = [*scores(), make_record('random', dataset='x', value=3.0), make_record('old', dataset='x', value=20.0)]
    for record in records:
        if (cost := {'a': 2e9, 'b': 8e9}.get(record.encoder['name'])) is not None:
            record.encoder[key] = cost
    figure = draw_figure(name, Table(records))
    first = figure.axes[0]
    points = {line.get_xdata()[0]: line.get_ydata()[0] for line in first.lines if len(line.get_xdata()) == 1}
    assert points == {2e9: 10, 8e9: 30}
    said = caption_of(figure)
    assert 'Left out, since their records do not say how many operations it took: old' in said
    with pytest.raises(FigureError, match=rf'No record says how many operations it took \(encoder.{key}\); '):
        draw_figure(name, Table(scores()))


@pytest.mark.parametrize('name', ['bars', 'heatmap'])
def test_one_encoder_with_one_seed_is_drawn(name):
    figure = draw_figure(name, Table([make_record('a', value=40.0)]), 'column')
    assert faults(figure) == []
    assert 'n = 1 seed.' in caption_of(figure)
