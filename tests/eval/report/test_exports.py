"""Results in the formats of other tools, and the card of a model: exact values, read back by their own readers."""

import json
import math
import sys
from datetime import datetime

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from eval.records import RecordError
from eval.report import exports
from eval.report.exports import ExportError, all_exports, load_export
from eval.report.sharing.card import model_card
from eval.report.summaries import Summary
from eval.report.table import Table
from tests.conftest import ROOT

COMMITTED = ROOT / 'tests' / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import add_record, digest, make_record  # noqa: E402

HOSTILE = 'a|b <script>alert(1)</script> [x](y) *bold*'


@pytest.fixture(scope='module')
def table():
    return Table.read([COMMITTED], ['sigma_severe'])


def counting(root):
    """A record of counting, whose error is a ratio: lower is better."""
    from eval.metrics import write_predictions
    from eval.records import predictions_path, write_record

    record = make_record('sigma_mlp_toy', protocol='repetition', dataset='counts', num_listed=4)
    record.score |= {'metric': 'count_error', 'value': 0.25, 'unit': 'ratio', 'higher_is_better': False, 'others': {}}
    write_record(record, root)
    write_predictions(predictions_path(record.path), list('abcd'), [4, 4, 4, 4], [[5.0], [3.0], [4.0], [6.0]])
    return record


def test_formats_are_found_by_walking():
    assert list(all_exports()) == ['model-index', 'mteb', 'parquet']
    assert all(sentence.endswith('.') or sentence for sentence in all_exports().values())
    with pytest.raises(ExportError, match="Unknown format 'mtb'. Did you mean 'mteb'"):
        load_export('mtb')


def test_parquet_has_a_row_per_record_and_the_intervals_beside_it(table, tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')

    paths = load_export('parquet')(table, tmp_path / 'x.parquet')
    assert [path.name for path in paths] == ['x.parquet', 'x.table.parquet']
    rows = parquet.read_table(paths[0]).to_pylist()
    assert len(rows) == len(table.records) > 8
    ours = next(row for row in rows if row['cell.name'] == 'sigma_mlp_toy_finetune_toy_shift_s0')
    assert (ours['dataset.num_scored'], ours['seed'], ours['published'], ours['run.clean']) == (99, 0, False, None)
    assert ours['score.value'] == pytest.approx(100 * 82 / 99, abs=1e-9)
    assert json.loads(ours['dataset.unscored']) == [{'video': 'test/0099.mp4', 'reason': 'moov atom not found'}]
    cells = parquet.read_table(paths[1]).to_pylist()
    frozen = next(row for row in cells if row['encoder'] == 'random' and row['protocol'] == 'frozen_linear')
    assert (frozen['mean'], frozen['n'], frozen['num_videos']) == (44.0, 1, 100)
    assert frozen['low'] == pytest.approx(34.67, abs=0.01)


def test_mteb_results_as_its_task_result_reads_them(tmp_path):
    counting(tmp_path)
    for seed in (0, 1):
        add_record(tmp_path, encoder='sigma_mlp_toy', subset='5_a_class', seed=seed)
    table = Table.read([tmp_path])
    paths = load_export('mteb')(table, tmp_path / 'out')
    folder = tmp_path / 'out' / 'sigma_mlp_toy' / digest('sigma_mlp_toy')
    assert sorted(paths) == [
        folder / f'{name}.json' for name in ('finetune_toy_5-a-class', 'model_meta', 'repetition_counts')
    ]
    few = json.loads(paths[0].read_text() if 'finetune' in paths[0].name else (folder / paths[0].name).read_text())
    # The fields and rules of mteb.results.TaskResult 2.26.
    assert set(few) == {
        *('dataset_revision', 'task_name', 'mteb_version', 'scores', 'evaluation_time', 'kg_co2_emissions', 'date'),
    }
    assert few['dataset_revision'] == digest('toy test')
    assert (few['task_name'], few['evaluation_time']) == ('finetune_toy_5-a-class', 25.0)
    assert datetime.fromisoformat(few['date']).year == 2026
    (scores,) = few['scores']['test']
    column = next(column for column in table.columns if column.subset)
    mean, low, high = column.cells['sigma_mlp_toy'].interval[:3]
    assert (scores['hf_subset'], scores['languages']) == ('default', ['eng-Latn'])
    assert scores['main_score'] == scores['top1'] == pytest.approx(mean / 100)
    assert (scores['ci_low'], scores['ci_high']) == (pytest.approx(low / 100), pytest.approx(high / 100))
    assert [each['seed'] for each in scores['scores_per_experiment']] == [0, 1]
    assert sum(each['main_score'] for each in scores['scores_per_experiment']) / 2 == pytest.approx(mean / 100)
    (errors,) = json.loads((folder / 'repetition_counts.json').read_text())['scores']['test']
    assert (errors['count_error'], errors['main_score']) == (0.25, 0.75)
    assert errors['ci_low'] < 0.75 < errors['ci_high']
    meta = json.loads((folder / 'model_meta.json').read_text())
    assert (meta['name'], meta['revision']) == ('sigma_mlp_toy', digest('sigma_mlp_toy'))


def test_model_index_is_read_by_the_hub(table, tmp_path):
    paths = load_export('model-index')(table, tmp_path / 'out')
    assert sorted(path.name for path in paths) == ['random.yaml', 'sigma_mlp_toy.yaml', 'videomae_toy.yaml']
    data = ModelCard(f'---\n{(tmp_path / "out" / "sigma_mlp_toy.yaml").read_text()}---\n').data
    assert data.model_name == 'sigma_mlp_toy'
    index = eval_results_to_model_index(data.model_name, data.eval_results)
    assert model_index_to_eval_results(index) == (data.model_name, data.eval_results)
    found = {(r.dataset_type, r.dataset_config, r.task_name): r for r in data.eval_results}
    shift = found['toy_shift', None, 'finetune v1']
    assert (shift.metric_type, shift.metric_value) == ('accuracy', 82.8283)
    assert (shift.dataset_split, shift.dataset_revision) == ('test', digest('toy_shift test'))
    assert shift.metric_args['ci_95'] == [74.2107, 88.9933]
    assert (shift.metric_args['num_seeds'], shift.metric_args['num_videos']) == (1, 99)
    assert found['toy', '5-a-class', 'finetune v1'].metric_args['num_seeds'] == 2


def test_what_cannot_be_exported_is_refused_in_a_sentence(table, tmp_path, monkeypatch):
    papers = Table.read([], ['sigma_severe'])
    for name in ('mteb', 'model-index'):
        with pytest.raises(ExportError, match='nothing to export'):
            load_export(name)(papers, tmp_path / 'out')
        (tmp_path / 'file').write_text('')
        with pytest.raises(ExportError, match='is a file'):
            load_export(name)(table, tmp_path / 'file')
    with monkeypatch.context() as patch:
        patch.setattr(exports.importlib.util, 'find_spec', lambda name: name)
        with pytest.raises(ExportError, match=r'ends in \.parquet'):
            load_export('parquet')(table, tmp_path / 'x.csv')
    monkeypatch.setattr(exports.importlib.util, 'find_spec', lambda name: None)
    for name, package in (('parquet', 'pyarrow'), ('model-index', 'huggingface_hub')):
        with pytest.raises(ExportError, match=f'{package}, which is not installed: pip install {package}'):
            load_export(name)(table, tmp_path / 'x.parquet')
    assert not (tmp_path / 'out').exists()


def test_the_card_has_table_interval_weights_and_commands(tmp_path):
    command = 'python eval/run_cell.py --work-dir w \'{"seed": 0}\''
    kinds = {'encoder': 'sigma_mlp_toy', 'num_unscored': 1}
    changes = {'encoder.pretraining_data': HOSTILE, 'run.command': command, 'notes': [HOSTILE]}
    record = add_record(tmp_path, 60, changes, **kinds)
    add_record(tmp_path, 70, encoder='sigma_mlp_toy', protocol='frozen_linear')
    add_record(tmp_path)
    columns = (('finetune', 'toy', None), ('frozen_linear', 'toy', None))
    table = Table.read([tmp_path], summary=Summary('two', columns))
    with pytest.raises(RecordError, match='the records have 2: '):
        model_card(table)
    with pytest.raises(RecordError, match="Did you mean 'sigma_mlp_toy'"):
        model_card(table, 'sigma_mlp_ty')
    described = {
        'backbone': {'arch': {'depth': 4, 'embed_dims': 64, 'num_heads': 2}, 'tubelet_size': 2, 'patch_size': 8},
        'clip': {'num_frames': 8, 'stride_frames': 3, 'size': 64},
        'mean': [1, 2, 3],
        'std': [4, 5, 6],
        'training': {'config': 'pretrain/toy.py', 'epochs': 20},
    }
    text = model_card(table, 'sigma_mlp_toy', described=described, licence='apache-2.0')
    card = ModelCard(text)
    assert (card.data.license, card.data.model_name, len(card.data.eval_results)) == ('apache-2.0', 'sigma_mlp_toy', 2)
    cell = table.columns[0].cells['sigma_mlp_toy']
    low, high = cell.interval.low, cell.interval.high
    lines = {line.split('|')[1].strip(): line for line in text.splitlines() if line.startswith('|')}
    ours = table.columns[0].group or 'finetune'
    assert f'| {cell.interval.mean:.1f}\\* ' in lines[ours]
    assert f'| {low:.1f} to {high:.1f} ' in lines[ours]
    assert not math.isnan(low)
    assert 'two' in lines  # the mean of the suite
    assert command in text
    assert record.encoder['sha256'] in text
    assert 'ViT of 4 blocks, width 64, 2 heads; tubelets of 2 x 8 x 8' in text
    assert '8 frames, 3 video frames apart, 64 x 64 pixels' in text
    assert '\\* sigma\\_mlp\\_toy in finetune / toy lacks 1 of 100 (seed 0)' in text
    assert '<script>' not in text
    assert text.count('a\\|b &lt;script&gt;alert(1)&lt;/script&gt; \\[x\\](y) \\*bold\\*') == 3
