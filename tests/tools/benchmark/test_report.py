"""The benchmark of the report: records that fit, every part measured, bad input in a sentence."""

import re

import pytest

from eval.records import read_records
from eval.report.figures.map_over_iou import curve
from eval.report.figures.shots_ladder import ladders
from eval.report.sweeps import sweeps
from eval.report.table import Table
from tests.conftest import assert_one_sentence, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark.report import make_records, places, print_measured


def test_places_are_at_most_20_encoders_and_5_seeds():
    found = list(places(2000))
    assert len(set(found)) == 2000
    assert [len({place[axis] for place in found}) for axis in range(3)] == [20, 20, 5]
    assert list(places(7)) == [*((0, 0, seed) for seed in range(5)), (1, 0, 0), (1, 0, 1)]


def test_made_records_pass_the_checks_of_the_table(tmp_path):
    make_records(tmp_path, 12, 30, 3)
    table = Table.read([tmp_path])
    assert (len(table.records), table.rows, table.faults) == (12, ['random', 'encoder_01', 'encoder_02'], [])
    assert all(table.predictions(record) is not None for record in table.records)
    first = [record.path.stat().st_mtime_ns for record in read_records(tmp_path)]
    make_records(tmp_path, 12, 30, 3)  # they are there already
    assert [record.path.stat().st_mtime_ns for record in read_records(tmp_path)] == first


def test_six_columns_hold_what_every_figure_draws(tmp_path):
    make_records(tmp_path, 600, 30, 3)
    table = Table.read([tmp_path])
    assert table.faults == []
    assert [(column.protocol, column.dataset, column.subset) for column in table.measured] == [
        ('finetune', 'data_000', '5-a-class'),
        ('finetune', 'data_000', None),
        ('finetune', 'data_005', None),
        ('frozen_linear', 'data_000', None),
        ('localization', 'data_000', None),
        ('robustness', 'data_000', None),
    ]
    (sweep,) = sweeps(table)
    assert (len(sweep.columns), sweep.severities, len(sweep.scores)) == (21, [1, 2, 3, 4, 5], 20)
    assert {len(curve(cell)) for cell in table.measured[4].cells.values()} == {5}
    assert len(ladders(table)) == 1
    assert {bool(record.encoder['flops']) for record in table.records} == {True}


def test_numbers_are_printed_with_their_goals(capsys):
    print_measured({'seconds': {'page': 1.25}, 'left_out': {'figure x': 'why'}, 'wall': 2.0, 'bytes': 5e8})
    said = capsys.readouterr().out.splitlines()
    assert [re.sub(' +', ' ', line) for line in said] == [
        'page 1.25 s',
        'figure x not drawn: why',
        'all 1.25 s of one core (goal 60 s); wall clock 2.0 s',
        'peak of memory 0.50 GB (goal 1 GB)',
    ]


@pytest.mark.slow
def test_the_whole_is_measured_in_a_process_of_its_own(capsys):
    done = call_main(benchmark.main, capsys, 'report', '--records', 20, '--predictions', 40, '--classes', 3)
    assert done.returncode == 0, done.stderr
    for part in ('records and predictions', 'table as text', 'figure bars', 'page', 'peak of memory'):
        assert re.search(rf'^{part} +[\d.]+ ', done.stdout, re.MULTILINE), part


@pytest.mark.parametrize(
    ('words', 'said'),
    [(['--records', 0], '--records 0'), (['--classes', 1], '--classes 1'), (['--work-dir', '{full}'], 'empty')],
)
def test_bad_input_is_refused(tmp_path, capsys, words, said):
    (tmp_path / 'file').write_text('')
    given = [str(word).format(full=tmp_path) for word in words]
    assert_one_sentence(call_main(benchmark.main, capsys, 'report', *given), said)
