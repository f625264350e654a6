"""Tables of records made up for the purpose: what stands in a cell, what is refused, who beat whom."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from eval.metrics import METRICS, score_predictions, write_predictions
from eval.metrics.predictions import Predictions
from eval.metrics.repetition import best_constant_error
from eval.records import RecordError, identity_hash, predictions_path, read_records, write_record
from eval.report import formats
from eval.report.differences import clear_best
from eval.report.papers import read_paper
from eval.report.summaries import Summary
from eval.report.table import Table, select
from eval.report.verdicts import comparison, verdicts
from sigma.errors import SigmaError
from sigma.files import sha256_file

sys.path.insert(0, str(Path(__file__).parents[2] / 'data' / 'records'))
from build_records import add_record, make_record  # noqa: E402


def add_exact(root, num_right, num=100, encoder='random', **kinds):
    """A record whose first `num_right` videos are right, so that its score is known by hand."""
    record = make_record(encoder, num_listed=num, value=100 * num_right / num, **kinds)
    write_record(record, root)
    label = np.arange(num) % 10
    said = np.where(np.arange(num) < num_right, label, (label + 1) % 10)
    video = [f'{i:04d}.mp4' for i in range(num)]
    write_predictions(predictions_path(record.path), video, label, np.eye(10)[said])
    return record


def test_a_cell_by_hand(tmp_path):
    for seed, num_right in enumerate((40, 50, 66)):
        add_exact(tmp_path, num_right, seed=seed)
    (line,) = formats.frame(Table(read_records(tmp_path))).to_dict('records')
    assert (line['encoder'], line['mean'], line['n'], line['coverage']) == ('random', 52, 3, 100)
    of_seeds = np.var([40, 50, 66], ddof=1) / 3
    of_videos = (40 * 50 + 40 * 34 + 50 * 34) / 3 / 100  # covariance of each pair of seeds, in points squared
    freedom = 2 * (of_seeds + of_videos) ** 2 / of_seeds**2
    half = stats.t.ppf(0.975, freedom) * np.sqrt(of_seeds + of_videos)
    assert (line['high'] - line['low']) / 2 == pytest.approx(half, rel=0.02)


def test_text_markdown_and_csv(tmp_path):
    add_exact(tmp_path, 40)
    add_exact(tmp_path, 66, encoder='sigma_mlp_toy')
    add_exact(tmp_path, 99, num=100, encoder='sigma_mlp_toy', subset='5-a-class')
    records = select(read_records(tmp_path))
    assert formats.text(Table(records)).splitlines() == [
        '               fine-tuned',
        '               -------------------------------------',
        'encoder        toy (5/class)      toy',
        '-' * 52,
        'random         missing            40.0 [30.9, 49.8]',
        'sigma_mlp_toy  99.0 [94.6, 99.8]  66.0† [56.3, 74.5]',
        'chance         10.0               10.0',
        '',
        "† clearly better (p < 0.05 by Holm's correction, and a 95 % interval without 0) than every other row measured "
        'here, and above published numbers',
        'top-1 accuracy in percent, one seed (n=1) [95 % interval]; chance: a uniform guess',
        'random: random weights, no pretraining',
        'n=1: the interval covers the choice of test videos, not the choice of seed',
        'fewer than three seeds say little about others: run three (--seeds 0 1 2)',
    ]
    markdown = formats.markdown(Table(records)).splitlines()
    assert markdown[:5] == [
        '|               | fine-tuned        |                       |',
        '|---------------|-------------------|-----------------------|',
        '| encoder       | toy (5/class)     | toy                   |',
        '| random        | missing           | 40.0 [30.9, 49.8]     |',
        '| sigma_mlp_toy | 99.0 [94.6, 99.8] | **66.0** [56.3, 74.5] |',
    ]
    lines = formats.csv(Table(records)).splitlines()
    assert lines[0].startswith('encoder,protocol,dataset,subset,metric,unit,mean,low,high,n,coverage,num_videos,chance')
    assert len(lines) == 4
    assert lines[2].startswith('random,finetune,toy,all,top1,percent,40.0000,30.9401,49.7997,1,100.0000,100,10.0000')


def test_unscored_videos_are_marked_and_counted(tmp_path):
    add_record(tmp_path, num_unscored=1)
    add_record(tmp_path, encoder='sigma_mlp_toy')
    records = read_records(tmp_path)
    text = formats.text(Table(records))
    assert '* [' in text.splitlines()[4]
    assert '* [' not in text.splitlines()[5]
    assert re.search(r'\n\* .*random in finetune / toy lacks 1 of 100 \(seed 0\)', text)
    assert '\n\\* ' in formats.markdown(Table(records))


def test_below_the_threshold_a_row_is_marked_and_left_out(tmp_path):
    add_exact(tmp_path, 40)
    add_exact(tmp_path, 30, encoder='b')
    add_exact(tmp_path, 98, num=98, encoder='partial')
    partial = read_records(tmp_path)[1]
    assert partial.encoder['name'] == 'partial'
    lacking = [{'video': f'{i:04d}.mp4', 'reason': 'no such file'} for i in (98, 99)]
    partial.dataset.update(num_listed=100, unscored=lacking)
    write_record(partial, tmp_path)
    records = select(read_records(tmp_path))
    (column,) = Table(records).columns
    assert [(row, cell.left_out) for row, cell in column.cells.items()] == [
        ('random', False),
        ('b', False),
        ('partial', True),
    ]
    assert column.best == 40
    lines = formats.markdown(Table(records)).splitlines()
    assert lines[3].startswith('| random  | **40.0** [')
    assert lines[5].startswith('| partial | 100.0! [')
    note = next(line for line in formats.text(Table(records)).splitlines() if line.startswith('! '))
    assert '99 %' in note
    assert '--allow-partial' in note
    assert note.endswith('partial in finetune / toy lacks 2 of 100 (seed 0), first 0098.mp4: no such file')
    said = [found.sentence for found in verdicts(Table(records))]
    assert said[0].startswith('finetune / toy: b is worse than random by 10.0 points [')
    assert said[1].startswith('finetune / toy: partial is not compared with random')
    assert said[1].endswith('partial scored too few videos')
    assert column.cells['partial'].coverage == 98
    assert [line.split(',')[-1] for line in formats.csv(Table(records)).splitlines()[1:]] == ['True', 'True', 'False']
    # When told, it counts like any other.
    text = formats.markdown(Table(records, allow_partial=True))
    assert '| **100.0**\\* [' in text
    assert '\n! ' not in text
    assert re.search(r'\n\\\* .*partial in finetune / toy lacks 2 of 100 \(seed 0\)', text)
    assert 'partial beat random' in verdicts(Table(records, allow_partial=True))[1].sentence


def test_unlike_records_share_no_column(tmp_path):
    add_record(tmp_path)
    add_record(tmp_path, encoder='sigma_mlp_toy', changes={'protocol.version': 2})
    with pytest.raises(RecordError, match=r'protocol\.version: 1 in random_finetune_toy_s0; 2 in sigma_mlp_toy'):
        Table(read_records(tmp_path))
    assert len(Table(select(read_records(tmp_path), encoders=['random'])).columns) == 1


def test_two_weights_under_one_name_are_refused(tmp_path):
    add_record(tmp_path, encoder='sigma_mlp_toy')
    add_record(tmp_path, encoder='sigma_mlp_toy', seed=1, changes={'encoder.sha256': 'f' * 64})
    with pytest.raises(RecordError, match=r'several weights, by encoder\.sha256'):
        Table(read_records(tmp_path))


def test_the_same_cell_twice(tmp_path):
    for root in ('a', 'b'):
        add_exact(tmp_path / root, 40)
    both = read_records(tmp_path / 'a') + read_records(tmp_path / 'b')
    assert len(Table(both).columns[0].cells['random'].records) == 1
    both[1].score['value'] = 41.0
    with pytest.raises(RecordError, match=r'the same cell .* scored 40.00 in .*a/records.* and 41.00 in .*b/records'):
        Table(both)
    other = make_record(value=40.0)
    other.cell['id'] = 'another'
    with pytest.raises(RecordError, match='has seed 0 twice'):
        Table([both[0], other])


def test_recipes_of_one_encoder_are_rows_of_their_own(tmp_path):
    default, changed = make_record(value=50.0), make_record(value=50.0)
    changed.recipe['name'], changed.cell['id'] = 'lr1e-3', 'another'
    records = [default, changed, make_record(value=50.0, protocol='frozen_linear')]
    assert Table(records).rows == ['random', 'random [lr1e-3]']


def test_predictions_must_be_those_of_the_record(tmp_path):
    record = add_exact(tmp_path, 40)
    path = predictions_path(record.path)
    record.predictions_sha256 = 'f' * 64
    write_record(record, tmp_path)
    with pytest.raises(RecordError, match='not the predictions that its record was written with'):
        Table(read_records(tmp_path))
    record.predictions_sha256, record.score['value'] = None, 43.0
    write_record(record, tmp_path)
    with pytest.raises(RecordError, match=r'gives top1 40.000, its record says 43.000'):
        Table(read_records(tmp_path))
    path.write_bytes(b'cut')
    with pytest.raises(RecordError, match='no predictions to be read'):
        Table(read_records(tmp_path))
    path.unlink()
    found = Table(read_records(tmp_path)).columns[0].cells['random'].interval
    assert (found.mean, found.how) == (43, 'test videos only (one seed), from scores alone')


def test_predictions_that_were_lost_are_told(tmp_path):
    record, said = (
        add_exact(tmp_path, 40),
        'predictions are missing beside the record: ',
    )
    assert said not in formats.text(Table(read_records(tmp_path)))
    path = predictions_path(record.path)
    record.predictions_sha256 = sha256_file(path)
    write_record(record, tmp_path)
    assert said not in formats.text(Table(read_records(tmp_path)))
    path.unlink()
    assert f'{said}random in finetune / toy\n' in formats.text(Table(read_records(tmp_path)))


def test_a_metric_that_is_no_mean_over_videos(tmp_path):
    records = [make_record(metric='mean_ap', value=value, seed=seed) for seed, value in enumerate((10.0, 12.0, 17.0))]
    column = Table(records).columns[0]
    assert column.cells['random'].interval.how == 'seeds only'
    assert (column.chance, column.metric_label) == (None, 'mean ap')
    assert formats.text(Table(records[:1])).splitlines()[4:6] == ['random   10.0', '']  # and no chance


def add_counts(root, spread, encoder='random', seed=0, num=60, **kinds):
    """A record of counts: true 2 to 9 in turn, predictions off by up to `spread` cycles."""
    rng = np.random.default_rng(seed + 10)
    true = np.arange(num) % 8 + 2
    predictions = Predictions(
        np.array([f'{i:03d}.mp4' for i in range(num)]),
        true,
        np.maximum(0, true + rng.uniform(-spread, spread, num))[:, None].astype(np.float32),
    )
    return add_kind(root, predictions, 'count_error', encoder, 'repetition', 'reps', seed, num_classes=1, **kinds)


def add_several(root, shift, encoder='random', seed=0, num=60, **kinds):
    """A record of several labels: the scores of true classes are higher by `shift` on average."""
    label = np.random.default_rng(1).random((num, 4)) < 0.3
    scores = np.random.default_rng(seed + 20).normal(size=label.shape) + shift * label
    names = np.array([f'{i:03d}.mp4' for i in range(num)])
    predictions = Predictions(names, label, scores.astype(np.float32))
    metric = 'mean_average_precision'
    return add_kind(root, predictions, metric, encoder, 'multi_label', 'movers', seed, num_classes=4, **kinds)


def add_segments(root, noise, encoder='random', seed=0, num=60):
    """Two actions a video, found with an error of `noise` seconds: a score in no column of shares."""
    rng = np.random.default_rng(seed)
    start = np.array([5.0, 30.0]) + np.arange(num)[:, None] % 7
    label = np.stack([start, start + 10, np.broadcast_to([0, 1], start.shape)], axis=2)
    found = np.concatenate([label, rng.random((num, 2, 1))], axis=2)
    found[..., :2] += noise * rng.normal(size=(num, 2, 2))
    names = np.array([f'{i:03d}.mp4' for i in range(num)])
    predictions = Predictions(names, label, found.astype(np.float32))
    return add_kind(root, predictions, 'map_50_95', encoder, 'localization_external', 'activitynet', seed, 200)


def add_kind(root, predictions, metric, encoder, protocol, dataset, seed, num_classes):
    value = score_predictions(predictions, metric)
    num = len(predictions.video)
    record = make_record(encoder, protocol, dataset, None, seed, num, num_classes, metric=metric, value=value)
    record.score.update(unit=METRICS[metric].unit, higher_is_better=METRICS[metric].higher_is_better)
    write_record(record, root)
    write_predictions(predictions_path(record.path), *predictions)
    return record


def test_localization_has_intervals_verdicts_and_published_rows(tmp_path):
    for seed in (0, 1, 2):
        add_segments(tmp_path, 1.5, seed=seed)
        ours = add_segments(tmp_path, 0.8, encoder='b', seed=seed)
    records = read_records(tmp_path)
    (column,) = Table(records).columns
    cell = column.cells['b'].interval
    assert cell.how == '3 seeds and test videos, bootstrap, spread of seeds pooled over 2 cells'
    assert 0 < cell.low < cell.mean < cell.high < 100
    assert cell.mean == pytest.approx(np.mean([r.score['value'] for r in records if r.encoder['name'] == 'b']))
    (found,) = verdicts(Table(records))
    assert found.difference.low > 0
    assert found.sentence.startswith('localization_external / activitynet: b beat random by ')
    published = read_paper('localization') + read_paper('severepp_tasks')
    beside = select([*records, *published], protocols=['localization_external'], datasets=['activitynet'])
    text = formats.text(Table(beside))
    assert '\npublished: OpenTAD (commit 3dd7b032), its tables of results ^a' in text
    assert '\nActionFormer_TSP ' in text
    assert '\nSIGMA-DINO ' in text
    assert 'head and feature settings are not verified' in text
    assert f'\nb {" " * 18} {cell.mean:.1f}† [{cell.low:.1f}, {cell.high:.1f}]\n' in text
    assert 'mean over 3 seeds (n=3) [95 % interval]' in text
    assert ours.score['metric'] == {r.score['metric'] for r in beside}.pop()


THREE = Summary('mean of 3', (('repetition', 'reps', None), ('finetune', 'toy', None), ('multi_label', 'movers', None)))


def test_ratios_and_percents_in_one_table(tmp_path):
    add_exact(tmp_path, 40)
    add_exact(tmp_path, 60, encoder='b')
    random, b = add_counts(tmp_path, 3), add_counts(tmp_path, 1, encoder='b')
    add_several(tmp_path, 0.5)
    several = add_several(tmp_path, 1.5, encoder='b')
    records = select(read_records(tmp_path))
    lines = formats.markdown(Table(records)).splitlines()
    assert [part.strip() for part in lines[3].split('|')][1:-1] == ['', 'top-1 ↑', 'mAP ↑', 'error ↓']
    column = Table(records).columns[2]
    cell = column.cells['b'].interval
    assert f'**{b.score["value"]:.3f}** [{cell.low:.3f}, {cell.high:.3f}]' in lines[5]  # the lowest is best
    assert f'| {random.score["value"]:.3f} [' in lines[4]
    assert 0 < cell.low < cell.mean < cell.high
    assert cell.how == 'test videos only (one seed), bootstrap'
    chance = best_constant_error(np.arange(60) % 8 + 2)
    prevalence = Table(records).columns[1].chance
    assert [part.strip() for part in lines[6].split('|')][1:-1] == [
        'chance',
        '10.0',
        f'{prevalence:.1f}',
        f'{chance:.3f}',
    ]
    assert prevalence == pytest.approx(100 * (np.random.default_rng(1).random((60, 4)) < 0.3).mean())
    assert lines[10].strip() == (
        'scores in percent, count error as a ratio (lower is better), one seed (n=1) [95 % interval]; chance: a '
        'uniform guess, of mAP the mean share of positive videos, which a random order reaches, of count error the '
        'best constant count, chosen on the test labels'
    )
    csv = formats.csv(Table(records)).splitlines()
    assert csv[6].startswith(f'b,repetition,reps,all,count_error,ratio,{b.score["value"]:.4f},')
    assert Table(records).columns[1].cells['b'].interval.mean == pytest.approx(several.score['value'])


def test_verdicts_on_errors_and_map(tmp_path):
    for seed in (0, 1, 2):
        add_counts(tmp_path, 4, seed=seed)
        add_counts(tmp_path, 0.4, encoder='b', seed=seed)
        add_several(tmp_path, 0.0, seed=seed)
        add_several(tmp_path, 3.0, encoder='b', seed=seed)
    records = select(read_records(tmp_path))
    mean_ap, errors = verdicts(Table(records))
    cells = Table(records).columns[1].cells
    wanted = cells['random'].interval.mean - cells['b'].interval.mean
    assert errors.difference.difference == pytest.approx(wanted)  # positive, though b is the lower
    assert errors.sentence.startswith(f'repetition / reps: b beat random by {wanted:.3f} in count error [0.')
    assert mean_ap.sentence.startswith('multi_label / movers: b beat random by ')
    assert ' points [' in mean_ap.sentence
    assert 'with the spread of seeds' in mean_ap.difference.how
    worse = verdicts(Table(records), 'b')[1].sentence
    assert worse.startswith(f'repetition / reps: random is worse than b by {wanted:.3f} in count error [')


def test_the_mean_of_a_suite(tmp_path):
    for encoder, num_right, spread in [('random', 40, 3), ('b', 60, 1)]:
        add_exact(tmp_path, num_right, encoder=encoder)
        add_counts(tmp_path, spread, encoder=encoder)
        add_several(tmp_path, num_right / 40, encoder=encoder)
    add_exact(tmp_path, 50, dataset='toy_shift')  # not of the suite
    records = select(read_records(tmp_path))
    table = Table(records, summary=THREE).columns
    assert [column.name for column in table] == [
        'finetune / toy_shift',
        'repetition / reps',
        'finetune / toy',
        'multi_label / movers',
        'mean of 3',
    ]
    _, reps, toy, movers, mean = table
    of = {column.name: column.cells['b'].interval for column in (reps, toy, movers)}
    error, right, ap = of['repetition / reps'], of['finetune / toy'], of['multi_label / movers']
    found = mean.cells['b'].interval
    assert found.mean == pytest.approx((100 * (1 - error.mean) + 60 + ap.mean) / 3)
    # The error's upper bound is the lower bound of what enters.
    low = np.sqrt((100 * (error.high - error.mean)) ** 2 + (right.mean - right.low) ** 2 + (ap.mean - ap.low) ** 2) / 3
    high = (
        np.sqrt((100 * (error.mean - error.low)) ** 2 + (right.high - right.mean) ** 2 + (ap.high - ap.mean) ** 2) / 3
    )
    assert (found.mean - found.low, found.high - found.mean) == pytest.approx((low, high))
    assert found.how == 'independent errors of 3'
    text = formats.text(Table(records, summary=THREE))
    assert f'{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}]\n' in text
    assert re.search(r'\nmean of 3: .*100 \(1 - error\).*independent', text)
    assert mean.best == found.mean
    last = formats.csv(Table(records, summary=THREE)).splitlines()[-1]
    assert last.startswith(
        f'b,mean of 3,,,mean,percent,{found.mean:.4f},{found.low:.4f},{found.high:.4f},1,100.0000,0,,'
    )
    assert {found.column for found in verdicts(Table(records))} == {column.name for column in (reps, toy, movers)}


def test_no_mean_where_a_column_is_lacking(tmp_path):
    add_exact(tmp_path, 40)
    add_counts(tmp_path, 1)
    add_exact(tmp_path, 50, encoder='b')
    add_counts(tmp_path, 1, encoder='b')
    add_several(tmp_path, 1, encoder='b')
    partial = add_exact(tmp_path, 40, num=90, encoder='c')
    partial.dataset.update(
        num_listed=100, unscored=[{'video': f'{i}.mp4', 'reason': 'cut short'} for i in range(90, 100)]
    )
    write_record(partial, tmp_path)
    add_counts(tmp_path, 1, encoder='c')
    add_several(tmp_path, 1, encoder='c')
    records = select(read_records(tmp_path))
    lines = formats.text(Table(records, summary=THREE)).splitlines()
    assert [(line.split()[0], line.split()[-1][-1]) for line in lines[5:8]] == [('random', '-'), ('b', ']'), ('c', '-')]
    assert 'no mean of 3 for random: missing multi_label / movers' in lines
    assert 'no mean of 3 for c: missing finetune / toy' in lines
    assert list(Table(records, summary=THREE).columns[-1].cells) == ['b']
    last = formats.csv(Table(records, summary=THREE)).splitlines()[-1].split(',')
    assert (last[0], last[1], last[6]) == ('c', 'mean of 3', '')
    assert last[-2:] == ['lacks finetune / toy', 'False']
    told = Table(records, allow_partial=True, summary=THREE).columns[-1]
    assert list(told.cells) == ['b', 'c']
    assert told.cells['c'].mark == '*'
    # A column that no record has at all.
    more = Summary('mean of 4', (*THREE.columns, ('finetune', 'absent', None)))
    assert Table(records, summary=more).columns[-1].cells == {}
    assert Table(records, summary=more).columns[-1].lacks['b'] == ['finetune / absent']


def test_seeds_of_a_mean(tmp_path):
    for seed in (0, 1):
        add_exact(tmp_path, 40 + seed, seed=seed)
    add_counts(tmp_path, 1)
    two = Summary('mean of 2', THREE.columns[:2])
    assert Table(read_records(tmp_path), summary=two).columns[-1].cells['random'].num_seeds == '1-2'
    assert formats.text(Table(read_records(tmp_path), summary=two)).splitlines()[5].endswith('n=1-2')


def test_a_mean_without_an_interval_where_a_column_has_none(tmp_path):
    add_exact(tmp_path, 40)
    error = make_record(protocol='repetition', dataset='reps', metric='count_error', value=0.2)  # no predictions
    error.score.update(unit='ratio', higher_is_better=False)
    two = Summary('mean of 2', THREE.columns[:2])
    found = Table([*read_records(tmp_path), error], summary=two).columns[-1].cells['random'].interval
    assert found.mean == pytest.approx((40 + 80) / 2)
    assert math.isnan(found.low)
    assert found.how == 'none: a column has no interval'


def test_what_has_no_place_in_a_mean():
    odd = make_record(value=3.0, metric='frames_per_second')
    odd.score['unit'] = 'Hz'
    with pytest.raises(RecordError, match='finetune / toy cannot enter a mean: frames_per_second .* Hz'):
        Table([odd], summary=Summary('m', (('finetune', 'toy', None),)))


def test_metrics_without_an_interval_over_videos(tmp_path):
    records = [make_record(metric='count_error_std', value=value, seed=i) for i, value in enumerate((0.1, 0.2))]
    assert Table(records).columns[0].cells['random'].interval.how == 'seeds only'
    record = make_record(metric='count_error', value=0.2)  # no predictions are stored
    assert Table([record]).columns[0].cells['random'].interval.how == 'none: one seed of this metric'


def test_published_numbers_stand_beside_ours(tmp_path):
    add_exact(tmp_path, 40, encoder='sigma')
    theirs = make_record('sigma', value=84.1)
    theirs.published, theirs.seed, theirs.dataset = True, None, {'name': 'toy'}
    theirs.identity['source'] = 'table 1'
    theirs.cell = {'id': identity_hash(theirs.identity), 'name': 'sigma_published'}
    write_record(theirs, tmp_path)
    text = formats.text(Table(read_records(tmp_path)))
    assert 'sigma    40.0 [30.9, 49.8]\n\npublished: made up for tests ^a\nsigma    84.1\n' in text
    assert math.isnan(Table(read_records(tmp_path)).columns[0].cells['sigma (published)'].interval.low)


def test_order(tmp_path):
    made = [
        make_record(encoder, protocol, dataset, subset)
        for encoder in ('b', 'random', 'a')
        for protocol, dataset, subset in [
            ('frozen_linear', 'toy', None),
            ('finetune', 'toy', None),
            ('finetune', 'toy', '10-a-class'),
            ('finetune', 'toy', '5-a-class'),
        ]
    ]
    table = Table(select(made))
    assert [column.name for column in table.columns] == [
        'finetune / toy / 5-a-class',
        'finetune / toy / 10-a-class',
        'finetune / toy',
        'frozen_linear / toy',
    ]
    assert table.rows == ['random', 'a', 'b']
    table = Table(select(made, encoders=['b', 'random'], protocols=['frozen_linear', 'finetune']))
    assert table.rows == ['b', 'random']
    assert [column.protocol for column in table.columns] == ['frozen_linear', 'finetune', 'finetune', 'finetune']
    with pytest.raises(RecordError, match="Unknown protocol 'finetun'. Did you mean 'finetune'"):
        select(made, protocols=['finetun'])
    with pytest.raises(RecordError, match='none of 2 records'):
        select([make_record('a'), make_record('b', dataset='toy_shift')], encoders=['a'], datasets=['toy_shift'])


def test_verdicts(tmp_path):
    for seed in (0, 1, 2):
        add_exact(tmp_path, 30, seed=seed)
        add_exact(tmp_path, 50, encoder='better', seed=seed)
        add_exact(tmp_path, 31, encoder='level', seed=seed)
        add_exact(tmp_path, 10, encoder='worse', seed=seed)
    found = {v.row: v for v in verdicts(Table(read_records(tmp_path)))}
    assert list(found) == ['better', 'level', 'worse']
    assert found['better'].sentence.startswith('finetune / toy: better beat random by 20.0 points [1')
    assert found['level'].sentence == (
        'finetune / toy: level shows no clear difference from random weights: +1.0 points [-2.7, 4.7], p 1.000 (1.000)'
    )
    assert found['worse'].sentence.startswith('finetune / toy: worse is worse than random by 20.0 points [1')
    assert found['better'].difference.difference == pytest.approx(20)
    over = {v.row: v.sentence for v in verdicts(Table(read_records(tmp_path)), 'level')}
    assert over['random'].endswith(
        'random shows no clear difference from level: -1.0 points [-4.7, 2.7], p 1.000 (1.000)'
    )
    with pytest.raises(RecordError, match="Unknown baseline 'randm'. Did you mean 'random'"):
        verdicts(Table(read_records(tmp_path)), 'randm')


def test_s1_a_verdict_needs_ten_videos(tmp_path):
    """S1: one common video gave "beat random by 100.0 points [100.0, 100.0]"."""
    for num, dataset in ((1, 'toy'), (9, 'toy_shift'), (10, 'toy_speeds')):
        add_exact(tmp_path, 0, num, dataset=dataset)
        add_exact(tmp_path, num, num, encoder='a', dataset=dataset)
    said = {found.column: found for found in verdicts(Table(read_records(tmp_path)))}
    assert said['finetune / toy'].sentence == (
        'finetune / toy: a is not compared with random: only 1 video was scored by both, and a verdict needs 10'
    )
    assert 'only 9 videos were scored by both' in said['finetune / toy_shift'].sentence
    assert said['finetune / toy_shift'].difference is None
    assert said['finetune / toy_speeds'].sentence.startswith('finetune / toy_speeds: a beat random by 100.0 points [')


def test_s1_all_verdicts_of_a_table_are_corrected_together(tmp_path):
    """S1: 8 against 0 of 100 has p 0.008; as one of nine comparisons it is no verdict."""
    add_exact(tmp_path, 50)
    add_exact(tmp_path, 58, encoder='better')
    (alone,) = verdicts(Table(read_records(tmp_path)))
    assert alone.p_corrected == alone.difference.p == pytest.approx(2 / 2**8)
    assert alone.sentence.endswith(
        'p 0.008 (0.008) (one seed each: this is about these weights, not about other seeds)'
    )
    assert 'better beat random' in alone.sentence
    for number in range(8):
        add_exact(tmp_path, 50, encoder=f'level{number}')
    found = {v.row: v for v in verdicts(Table(read_records(tmp_path)))}
    assert found['better'].p_corrected == pytest.approx(9 * 2 / 2**8)
    assert 'better shows no clear difference' in found['better'].sentence
    assert 'p 0.070 (0.008)' in found['better'].sentence
    assert comparison(Table(read_records(tmp_path)), None)[-1].startswith(
        "a verdict needs p < 0.05 by Holm's correction over the 9"
    )


def test_verdicts_say_what_they_lack(tmp_path):
    add_exact(tmp_path, 30)
    add_exact(tmp_path, 60, encoder='a')
    add_exact(tmp_path, 60, encoder='a', dataset='toy_shift')
    first, second = verdicts(Table(read_records(tmp_path)))
    assert 'one seed' in first.sentence
    assert second.difference is None
    assert second.sentence.startswith('finetune / toy_shift: a is not compared with random')


def test_verdicts_use_the_videos_that_both_scored(tmp_path):
    add_record(tmp_path, accuracy=30)
    add_record(tmp_path, accuracy=60, encoder='a', num_unscored=1)
    assert verdicts(Table(read_records(tmp_path)))[0].difference.num_videos == 99


def test_what_chance_is_is_said_for_each_kind(tmp_path):
    add_counts(tmp_path, 1)
    constant = 'the best constant count, chosen on the test labels'
    assert f'; chance: {constant}\n' in formats.text(Table(read_records(tmp_path)))
    add_exact(tmp_path, 40)
    text = formats.text(Table(select(read_records(tmp_path), protocols=['repetition', 'finetune'])))
    assert f'; chance: a uniform guess, of count error {constant}\n' in text


# --- unbalanced classes and other metrics ---------------------------------------------------------------------------


def add_unbalanced(root, encoder='random', seed=0, num_right=(10, 1, 1, 1)):
    """Eleven videos of class 0, and 8, 6 and 5 of the others: 36.7 % are of the commonest class, where chance is 25."""
    label = np.repeat(np.arange(4), (11, 8, 6, 5))
    place = np.concatenate([np.arange(count) for count in (11, 8, 6, 5)])
    said = np.where(place < np.array(num_right)[label], label, (label + 1) % 4)
    scores = np.eye(4)[said]
    record = make_record(encoder, num_listed=30, num_classes=4, seed=seed, value=100 * float((said == label).mean()))
    write_record(record, root)
    write_predictions(predictions_path(record.path), [f'{i:02d}.mp4' for i in range(30)], label, scores)
    return record


def test_the_commonest_class_stands_beside_chance_where_classes_are_unbalanced(tmp_path):
    add_unbalanced(tmp_path)
    table = Table(read_records(tmp_path))
    lines = formats.text(table).splitlines()
    assert lines[5].split() == ['chance', '25.0']
    assert lines[6].split() == ['commonest', 'class', '36.7']
    assert any(line.startswith('commonest class: ') for line in lines)
    assert [part.strip() for part in formats.markdown(table).splitlines()[5].split('|')[1:3]] == [
        'commonest class',
        '36.7',
    ]
    (line,) = formats.frame(table).to_dict('records')
    assert (line['chance'], line['commonest']) == (25, pytest.approx(1100 / 30))


def test_balanced_classes_need_no_row_for_the_commonest(tmp_path):
    add_exact(tmp_path, 40)
    assert 'commonest' not in formats.text(Table(read_records(tmp_path)))


def test_mean_class_accuracy_of_the_same_predictions(tmp_path):
    add_unbalanced(tmp_path)
    table = Table.read([tmp_path], metric='mean_class')
    (column,) = table.columns
    value = 100 * np.mean([10 / 11, 1 / 8, 1 / 6, 1 / 5])
    assert column.metric == 'mean_class'
    assert column.cells['random'].interval.mean == pytest.approx(value)
    assert column.cells['random'].scores == [pytest.approx(value)]
    assert (column.chance, column.commonest) == (25, 25)
    assert table.records[0].score['others']['top1'] == pytest.approx(1300 / 30)
    assert read_records(tmp_path)[0].score['metric'] == 'top1'  # files stay as they are


def test_a_metric_that_suits_no_record_is_refused(tmp_path):
    add_unbalanced(tmp_path)
    for name, fact in [('mean_clas', 'mean_class'), ('count_error', 'repetition'), ('top5', '6 classes')]:
        with pytest.raises(SigmaError, match=fact):
            Table.read([tmp_path], metric=name)


def test_another_metric_needs_predictions_or_the_stored_number(tmp_path):
    record = add_unbalanced(tmp_path)
    predictions_path(record.path).unlink()
    with pytest.raises(RecordError, match='mean_class'):
        Table.read([tmp_path], metric='mean_class')
    record.score['others'] = {'mean_class': 35.0}
    write_record(record, tmp_path)
    assert Table.read([tmp_path], metric='mean_class').columns[0].cells['random'].scores == [35]


def test_columns_of_other_tasks_keep_their_metric(tmp_path):
    add_unbalanced(tmp_path)
    add_record(tmp_path, encoder='sigma_mlp_toy', dataset='other', num_classes=5, num_listed=40)
    add_record(tmp_path, encoder='sigma_mlp_toy', dataset='many', num_classes=10, num_listed=40)
    metrics = {column.dataset: column.metric for column in Table.read([tmp_path], metric='top5').columns}
    assert metrics == {'toy': 'top1', 'other': 'top1', 'many': 'top5'}


# --- few seeds, and what is bold ------------------------------------------------------------------------------------


def test_two_seeds_take_their_spread_from_all_cells_of_the_protocol(tmp_path):
    pairs = {'random': (50, 70), 'sigma_mlp_toy': (60, 62), 'videomae_toy': (61, 66), 'c': (55, 58), 'd': (70, 72)}
    for encoder, (first, second) in pairs.items():
        add_exact(tmp_path, first, encoder=encoder, seed=0)
        add_exact(tmp_path, second, encoder=encoder, seed=1)
    records = read_records(tmp_path)
    (alone,) = Table([r for r in records if r.encoder['name'] == 'random']).columns
    assert alone.cells['random'].interval[:3] == pytest.approx((60, 0, 100))  # nothing to pool with
    table = Table(records)
    found = table.columns[0].cells['random'].interval
    assert found.how == '2 seeds and test videos, spread of seeds pooled over 5 cells'
    assert found[:3] == pytest.approx((60, 35.55, 84.18), abs=0.01)
    assert any('pooled over the cells of a protocol' in line for line in formats.text(table).splitlines())
    assert any('run three (--seeds 0 1 2)' in line for line in formats.text(table).splitlines())


def test_other_protocols_and_the_seeds_of_one_cell_are_not_pooled(tmp_path):
    for seed, num_right in enumerate((50, 70)):
        add_exact(tmp_path, num_right, seed=seed)
        add_exact(tmp_path, num_right, seed=seed, protocol='frozen_linear')
    for column in Table(read_records(tmp_path)).columns:
        assert column.cells['random'].interval.how == '2 seeds and test videos'


def test_three_seeds_are_not_asked_for_more(tmp_path):
    for seed in range(3):
        add_exact(tmp_path, 40 + seed, seed=seed)
    assert '--seeds' not in formats.text(Table(read_records(tmp_path)))


def test_nothing_is_bold_where_the_best_is_not_clear(tmp_path):
    add_exact(tmp_path, 40)
    assert 'bold' not in formats.markdown(Table(read_records(tmp_path)))  # one encoder alone
    add_exact(tmp_path, 43, encoder='sigma_mlp_toy')
    table = Table(read_records(tmp_path))
    assert table.columns[0].best == 43
    assert clear_best(table, table.columns[0]) is None
    said = formats.markdown(table)
    assert '**' not in said
    assert 'nothing is bold' in said
    add_exact(tmp_path, 80, encoder='videomae_toy')
    assert '| **80.0** [' in formats.markdown(Table(read_records(tmp_path)))
    add_exact(tmp_path, 80, encoder='z')  # a tie
    assert '**' not in formats.markdown(Table(read_records(tmp_path)))
