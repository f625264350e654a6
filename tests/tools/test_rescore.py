"""tools/rescore.py as a command: what it recomputes, what it calls different, and that it changes no record."""

import csv
import errno
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.metrics import read_predictions, write_predictions
from eval.metrics.classification import mean_class_prefix
from eval.records import predictions_path, read_records, write_record
from sigma.files import write_atomic
from tests.conftest import PATIENCE

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / 'tests' / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import add_record, make_record  # noqa: E402

MAIN = runpy.run_path(str(ROOT / 'tools' / 'rescore.py'))['main']


def rescore(capsys, *arguments) -> tuple[int, list[str], str]:
    """Status, lines and complaint."""
    status = MAIN([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def test_committed_records_agree_without_torch():
    code = (
        'import runpy, sys\n'
        f'try: runpy.run_path({str(ROOT / "tools" / "rescore.py")!r}, run_name="__main__")\n'
        'except SystemExit as exit: assert exit.code == 0, exit.code\n'
        'heavy = {"torch", "mmengine", "mmaction", "sklearn", "pandas"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-c', code, str(COMMITTED)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '16 numbers of 8 records: all agree'
    assert done.stdout.splitlines()[1].split() == [
        'random_finetune_toy_5aclass_s0',
        'top1',
        '22.0000',
        '22.0000',
        'same',
    ]


def add_counts(root) -> None:
    """Two videos of 4 and 10 cycles, counted as 5 and 10."""
    record = make_record(
        'counter', 'repetition', 'reps', num_listed=2, num_classes=1, metric='count_error', value=0.125
    )
    record.score.update(unit='ratio', higher_is_better=False, others={'off_by_one': 100.0, 'over_count': 0.125})
    write_record(record, root)
    write_predictions(predictions_path(record.path), ['a', 'b'], [4, 10], [[5.2], [9.6]])


def test_counts_and_metrics_asked_for(tmp_path, capsys):
    record = add_record(tmp_path)
    add_counts(tmp_path)
    status, lines, _ = rescore(capsys, tmp_path, '--metric', 'mean_class_prefix', 'under_count')
    assert status == 0
    found = {tuple(line.split()[:2]): line.split()[2:] for line in lines[1:-2]}
    predictions = read_predictions(predictions_path(record.path))
    prefix = mean_class_prefix(predictions.scores, predictions.label)
    assert found[record.name, 'mean_class_prefix'] == ['-', f'{prefix:.4f}', 'new']
    assert found['counter_repetition_reps_s0', 'count_error'] == ['0.1250', '0.1250', 'same']
    assert found['counter_repetition_reps_s0', 'off_by_one'] == ['100.0000', '100.0000', 'same']
    assert found['counter_repetition_reps_s0', 'under_count'] == ['-', '0.0000', 'new']
    assert len(found) == 7  # top1, top5 and the prefix mean; three of counts and the one asked for
    assert lines[-2].startswith('mean_class_prefix: ')
    assert 'defect of published code' in lines[-2]


def test_numbers_that_differ(tmp_path, capsys):
    record = add_record(tmp_path)
    record.score['others']['top5'] += 0.01
    write_record(record, tmp_path)
    status, lines, _ = rescore(capsys, tmp_path)
    assert status == 1
    assert [line.split()[-1] for line in lines[1:3]] == ['same', 'DIFFERS']
    assert lines[-1] == '2 numbers of 1 records: 1 do not agree'
    add_counts(tmp_path)
    path = tmp_path / 'records' / 'counter' / 'repetition-v1' / 'counter_repetition_reps_s0.json'
    raw = json.loads(path.read_text())
    raw['score']['value'] = 0.1251  # less than percents may differ by
    path.write_text(json.dumps(raw))
    assert 'DIFFERS' in next(line for line in rescore(capsys, tmp_path)[1] if ' count_error ' in line)


def test_predictions_that_cannot_be_used(tmp_path, capsys):
    for name in ('none', 'cut', 'other', 'fewer', 'whole'):
        add_record(tmp_path, encoder=name)
    records = {record.encoder['name']: record for record in read_records(tmp_path)}
    predictions_path(records['none'].path).unlink()
    path = predictions_path(records['other'].path)
    write_predictions(path, [f'{i}' for i in range(100)], np.arange(100) % 10, np.eye(10)[np.arange(100) % 10])
    for name, change in [('cut', lambda path: path.write_bytes(b'PK')), ('fewer', lambda path: None)]:
        path = predictions_path(records[name].path)
        change(path)
        if name == 'fewer':
            whole = read_predictions(path)
            write_predictions(path, *(part[:50] for part in whole))
        records[name].predictions_sha256 = None
        write_record(records[name], tmp_path)
    status, lines, _ = rescore(capsys, tmp_path)
    assert status == 1
    state = {line.split('_')[0]: line for line in lines[1:-1]}
    assert state['none'].endswith('no predictions')
    assert 'no predictions to be read' in state['cut']
    assert state['other'].endswith('not the predictions that the record was written with')
    assert state['fewer'].endswith('50 predictions, the record says 100')
    assert state['whole'].endswith('same')
    assert lines[-1] == '6 numbers of 5 records: 4 do not agree'


def test_a_metric_that_this_code_does_not_know(tmp_path, capsys):
    record = add_record(tmp_path)
    record.score['others'] = {'top_seven': 80.0}
    write_record(record, tmp_path)
    status, lines, _ = rescore(capsys, tmp_path)
    assert status == 0
    assert lines[1].endswith('80.0000  -           not a metric of eval/metrics')
    assert lines[-1] == '2 numbers of 1 records: all agree, 1 not computed'


def test_write_leaves_records_alone(tmp_path, capsys):
    shutil.copytree(COMMITTED / 'random', tmp_path / 'records' / 'random')
    before = {path: path.read_bytes() for path in tmp_path.rglob('*.*') if path.is_file()}
    assert rescore(capsys, tmp_path)[0] == 0
    assert {path for path in tmp_path.rglob('*.*') if path.is_file()} == set(before)  # nothing without --write
    status, lines, _ = rescore(capsys, tmp_path, '--write', '--metric', 'mean_class')
    assert status == 0
    assert lines[-1] == f'{tmp_path}/rescored.csv: 9 lines; records are unchanged'
    with open(tmp_path / 'rescored.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        'record': 'random_finetune_toy_5aclass_s0',
        'metric': 'top1',
        'stored': '22.0',
        'recomputed': '22.0',
        'unit': 'percent',
        'state': 'same',
    }
    assert rows[2]['metric'] == 'mean_class'
    assert (rows[2]['stored'], rows[2]['state']) == ('', 'new')
    assert len(rows) == 9
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (['nowhere'], 'nowhere: no such folder'),
        ([COMMITTED, '--metric', 'top_1'], "Unknown metric 'top_1'. Did you mean 'top1'"),
        (
            [COMMITTED, '--metric', 'count_error'],
            'no record has the repetition labels that count_error needs',
        ),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, sentence):
    status, _, said = rescore(capsys, *arguments)
    assert status == 2
    assert said.startswith('rescore: ')
    assert sentence in said
    assert said.count('\n') == 1


def test_a_place_that_cannot_be_written(tmp_path, capsys):
    add_record(tmp_path)
    (tmp_path / 'rescored.csv').mkdir()
    status, _, said = rescore(capsys, tmp_path, '--write')
    assert (status, said.count('\n')) == (2, 1)
    assert 'rescored.csv' in said


def test_a_disk_that_is_full_is_told_with_the_file_and_a_record_holds_no_lines(tmp_path, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')  # as a write says it, without a name

    add_record(tmp_path)
    with monkeypatch.context() as context:
        context.setattr('os.fsync', full)
        status, _, said = rescore(capsys, tmp_path, '--write')
        assert (status, said) == (2, f'rescore: {tmp_path}/rescored.csv: No space left on device\n')
        with pytest.raises(OSError, match='list.txt'):
            write_atomic(tmp_path / 'list.txt', 'a 0\n')
    assert not list(tmp_path.glob('*.csv')) + list(tmp_path.glob('.*')) + list(tmp_path.glob('list*'))
    (record,) = (tmp_path / 'records').rglob('*.json')
    status, _, said = rescore(capsys, record, '--write')
    assert (status, said.count('\n')) == (2, 1)
    assert f'{record} is a file' in said
