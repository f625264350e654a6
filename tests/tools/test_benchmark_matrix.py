"""What a cell costs beyond its work: the parts of known marks, and a matrix of two cells that do nothing."""

import re
import sys

import pytest

from tests.conftest import assert_one_sentence, call_main
from tools import benchmark
from tools.benchmark_matrix import Marks, overheads

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='the start of a process is read from /proc')


def test_overheads_lie_between_the_work_of_one_cell_and_that_of_the_next():
    marks = [Marks(10.5, 12.0, 20.0), Marks(1.0, 3.0, 10.0), Marks(20.25, 20.5, 21.0)]
    before, between = overheads(marks)
    assert before == [1.5, 0.25]
    assert between == [0.5, 0.25]


def test_cells_without_work_are_measured(capsys):
    done = call_main(benchmark.main, capsys, 'matrix', '--kind', 'light', '--cells', 2)
    assert done.returncode == 0, done.stderr
    assert '2 cells without work, numpy alone, one after the other, forks of one process' in done.stdout
    numbers = [
        float(n) for n in re.search(r'beyond its work +([\d.]+) s .*; ([\d.]+) from.*, ([\d.]+)', done.stdout).groups()
    ]
    assert numbers[0] == pytest.approx(numbers[1] + numbers[2], abs=0.011)
    whole, again = (float(n) for n in re.search(r'command +([\d.]+) s; .* ([\d.]+) s', done.stdout).groups())
    assert whole > again > 0


def test_one_cell_has_nothing_between(capsys):
    assert_one_sentence(call_main(benchmark.main, capsys, 'matrix', '--cells', 1), '--cells 1', 'between two')


def test_a_matrix_that_fails_is_named(capsys, monkeypatch):
    from tools import benchmark_matrix

    monkeypatch.setattr(benchmark_matrix, 'PROTOCOL', 'raise ValueError({kind!r} + {dataset!r})')
    words = 'run_severe.py could not be measured', '--import', 'ValueError: light'
    assert_one_sentence(call_main(benchmark.main, capsys, 'matrix', '--kind', 'light'), *words)
