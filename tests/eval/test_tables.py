"""Tables of records made up for the purpose: what stands in a cell, what is refused, who beat whom."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from eval.metrics import write_predictions
from eval.records import RecordError, identity_hash, predictions_path, read_records, write_record
from eval.tables import columns, format_table, results_table, rows, select, table_csv, verdict

sys.path.insert(0, str(Path(__file__).parents[1] / 'data' / 'records'))
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
    table = results_table(read_records(tmp_path))
    mean, low, high, n, coverage = table.loc['random', 'finetune / toy']
    assert (mean, n, coverage) == (52, 3, 100)
    of_seeds = stats.t.ppf(0.975, 2) * np.std([40, 50, 66], ddof=1) / np.sqrt(3)
    share = np.repeat([1, 2 / 3, 1 / 3, 0], [40, 10, 16, 34])  # right by all, two, one and none of the seeds
    of_videos = 196 * share.std() / 10
    assert (high - low) / 2 == pytest.approx(np.hypot(of_seeds, of_videos), rel=0.02)


def test_text_markdown_and_csv(tmp_path):
    add_exact(tmp_path, 40)
    add_exact(tmp_path, 66, encoder='sigma_mlp_toy')
    add_exact(tmp_path, 99, num=100, encoder='sigma_mlp_toy', subset='5_a_class')
    records = select(read_records(tmp_path))
    assert format_table(records).splitlines() == [
        'encoder        finetune / toy / 5_a_class  finetune / toy',
        '-' * 64,
        'random         missing                     40.0 [30.9, 49.8] n=1',
        'sigma_mlp_toy  99.0 [94.6, 99.8] n=1       66.0 [56.3, 74.5] n=1',
        'chance         10.0                        10.0',
        '',
        'top-1 accuracy in percent, mean over n seeds [95 % interval]; chance: a uniform guess',
        'n=1: the interval speaks of the test videos alone, not of other seeds',
    ]
    markdown = format_table(records, style='markdown').splitlines()
    assert markdown[3] == '| sigma_mlp_toy | 99.0 [94.6, 99.8] n=1      | **66.0** [56.3, 74.5] n=1 |'
    lines = table_csv(records).splitlines()
    assert lines[0].startswith('encoder,protocol,dataset,subset,metric,unit,mean,low,high,n,coverage,num_videos,chance')
    assert len(lines) == 4
    assert lines[2].startswith('random,finetune,toy,all,top1,percent,40.0000,30.9401,49.7997,1,100.0000,100,10.0000')
    with pytest.raises(ValueError, match="Did you mean 'markdown'"):
        format_table(records, style='markdwn')


def test_unscored_videos_are_marked_and_counted(tmp_path):
    add_record(tmp_path, num_unscored=1)
    add_record(tmp_path, encoder='sigma_mlp_toy')
    records = read_records(tmp_path)
    text = format_table(records)
    assert '* [' in text.splitlines()[2]
    assert '* [' not in text.splitlines()[3]
    assert '* videos were left unscored: random in finetune / toy 1 of 100 (seed 0)' in text
    assert '\\* videos were left' in format_table(records, style='markdown')


def test_below_the_threshold_only_when_told(tmp_path):
    add_record(tmp_path, num_unscored=2)
    records = read_records(tmp_path)
    for table in (results_table, format_table, table_csv, columns):
        with pytest.raises(RecordError, match='98 of 100 videos'):
            table(records)
    assert results_table(records, allow_partial=True).loc['random', ('finetune / toy', 'coverage')] == 98


def test_unlike_records_share_no_column(tmp_path):
    add_record(tmp_path)
    add_record(tmp_path, encoder='sigma_mlp_toy', changes={'protocol.version': 2})
    with pytest.raises(RecordError, match=r'protocol\.version: 1 in random_finetune_toy_s0; 2 in sigma_mlp_toy'):
        results_table(read_records(tmp_path))
    assert len(columns(select(read_records(tmp_path), encoders=['random']))) == 1


def test_two_weights_under_one_name_are_refused(tmp_path):
    add_record(tmp_path, encoder='sigma_mlp_toy')
    add_record(tmp_path, encoder='sigma_mlp_toy', seed=1, changes={'encoder.sha256': 'f' * 64})
    with pytest.raises(RecordError, match=r'several weights, by encoder\.sha256'):
        columns(read_records(tmp_path))


def test_the_same_cell_twice(tmp_path):
    for root in ('a', 'b'):
        add_exact(tmp_path / root, 40)
    both = read_records(tmp_path / 'a') + read_records(tmp_path / 'b')
    assert len(columns(both)[0].cells['random'].records) == 1
    both[1].score['value'] = 41.0
    with pytest.raises(RecordError, match=r'the same cell .* scored 40.00 in .*a/records.* and 41.00 in .*b/records'):
        columns(both)
    other = make_record(value=40.0)
    other.cell['id'] = 'another'
    with pytest.raises(RecordError, match='has seed 0 twice'):
        columns([both[0], other])


def test_recipes_of_one_encoder_are_rows_of_their_own(tmp_path):
    default, changed = make_record(value=50.0), make_record(value=50.0)
    changed.recipe['name'], changed.cell['id'] = 'lr1e-3', 'another'
    records = [default, changed, make_record(value=50.0, protocol='frozen_linear')]
    assert rows(columns(records)) == ['random', 'random [lr1e-3]']


def test_predictions_must_be_those_of_the_record(tmp_path):
    record = add_exact(tmp_path, 40)
    path = predictions_path(record.path)
    record.predictions_sha256 = 'f' * 64
    write_record(record, tmp_path)
    with pytest.raises(RecordError, match='not the predictions that its record was written with'):
        columns(read_records(tmp_path))
    record.predictions_sha256, record.score['value'] = None, 43.0
    write_record(record, tmp_path)
    with pytest.raises(RecordError, match=r'gives top1 40.000, its record says 43.000'):
        columns(read_records(tmp_path))
    path.write_bytes(b'cut')
    with pytest.raises(RecordError, match='no predictions to be read'):
        columns(read_records(tmp_path))
    path.unlink()
    found = columns(read_records(tmp_path))[0].cells['random'].interval
    assert (found.mean, found.how) == (43, 'test videos only (one seed), from scores alone')


def test_a_metric_that_is_no_mean_over_videos(tmp_path):
    records = [make_record(metric='mean_ap', value=value, seed=seed) for seed, value in enumerate((10.0, 12.0, 17.0))]
    column = columns(records)[0]
    assert column.cells['random'].interval.how == 'seeds only'
    assert (column.chance, column.metric_label) == (None, 'mean ap')
    assert format_table(records[:1]).splitlines()[2:4] == ['random   10.0 n=1', 'chance   -']


def test_published_numbers_stand_beside_ours(tmp_path):
    add_exact(tmp_path, 40, encoder='sigma')
    theirs = make_record('sigma', value=84.1)
    theirs.published, theirs.seed, theirs.dataset = True, None, {'name': 'toy'}
    theirs.identity['source'] = 'table 1'
    theirs.cell = {'id': identity_hash(theirs.identity), 'name': 'sigma_published'}
    write_record(theirs, tmp_path)
    text = format_table(read_records(tmp_path))
    assert 'sigma (published)  84.1\n' in text
    assert math.isnan(results_table(read_records(tmp_path)).loc['sigma (published)', ('finetune / toy', 'low')])


def test_order(tmp_path):
    made = [
        make_record(encoder, protocol, dataset, subset)
        for encoder in ('b', 'random', 'a')
        for protocol, dataset, subset in [
            ('frozen_linear', 'toy', None),
            ('finetune', 'toy', None),
            ('finetune', 'toy', '10_a_class'),
            ('finetune', 'toy', '5_a_class'),
        ]
    ]
    table = columns(select(made))
    assert [column.name for column in table] == [
        'finetune / toy / 5_a_class',
        'finetune / toy / 10_a_class',
        'finetune / toy',
        'frozen_linear / toy',
    ]
    assert rows(table) == ['random', 'a', 'b']
    table = columns(select(made, encoders=['b', 'random'], protocols=['frozen_linear', 'finetune']))
    assert rows(table) == ['b', 'random']
    assert [column.protocol for column in table] == ['frozen_linear', 'finetune', 'finetune', 'finetune']
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
    found = {v.row: v for v in verdict(read_records(tmp_path))}
    assert list(found) == ['better', 'level', 'worse']
    assert found['better'].sentence.startswith('finetune / toy: better beat random by 20.0 points [1')
    assert found['level'].sentence == 'finetune / toy: level is no better than random weights: +1.0 [0.0, 3.0]'
    assert found['worse'].sentence.startswith('finetune / toy: worse fell below random by 20.0 points [1')
    assert found['better'].difference.difference == pytest.approx(20)
    over = {v.row: v.sentence for v in verdict(read_records(tmp_path), baseline='level')}
    assert over['random'] == 'finetune / toy: random is no better than level: -1.0 [-3.0, 0.0]'
    with pytest.raises(RecordError, match="Unknown baseline 'randm'. Did you mean 'random'"):
        verdict(read_records(tmp_path), baseline='randm')


def test_verdicts_say_what_they_lack(tmp_path):
    add_exact(tmp_path, 30)
    add_exact(tmp_path, 60, encoder='a')
    add_exact(tmp_path, 60, encoder='a', dataset='toy_shift')
    first, second = verdict(read_records(tmp_path))
    assert first.sentence.endswith('(with a single seed the spread of seeds is unknown)')
    assert second.difference is None
    assert second.sentence.startswith('finetune / toy_shift: a and random lack stored predictions')


def test_verdicts_use_the_videos_that_both_scored(tmp_path):
    add_record(tmp_path, accuracy=30)
    add_record(tmp_path, accuracy=60, encoder='a', num_unscored=1)
    assert verdict(read_records(tmp_path))[0].difference.num_videos == 99
