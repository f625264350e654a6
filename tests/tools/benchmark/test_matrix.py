"""Overhead of a cell: its parts for known instants, and a real matrix of two cells that do nothing."""

import argparse
import re
import sys

import pytest

from tests.conftest import assert_one_sentence, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark.matrix import Marks, overheads, print_matrix

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='the start of a process is read from /proc')


def test_overhead_lies_between_the_work_of_two_cells():
    marks = [Marks(10.5, 12.0, 20.0), Marks(1.0, 3.0, 10.0), Marks(20.25, 20.5, 21.0)]
    before, between = overheads(marks)
    assert before == [1.5, 0.25]
    assert between == [0.5, 0.25]


def test_the_parts_and_their_sum_are_printed(capsys):
    args = argparse.Namespace(cells=3, kind='torch', no_forks=True)
    marks = [Marks(1.0, 3.0, 10.0), Marks(10.5, 12.0, 20.0), Marks(20.5, 22.5, 27.0)]
    print_matrix(args, marks, reported=[8.0, 9.5, 6.0], whole=(30.0, 12.0), again=(3.0, 1.5))
    out = capsys.readouterr().out
    assert '3 cells without work, importing all that fine-tuning imports, one after the other, each a new' in out
    assert re.search('overhead of a cell +2.25 s .goal 1., worst 2.50; 1.75 after the start of its process, 0.50', out)
    assert re.search('its work +7.00 s; its record says 8.00 s', out)
    assert re.search('the whole command +30.00 s; .* 3.00 s', out)
    assert re.search('processor time +3.50 s per cell', out)


@pytest.mark.slow
def test_cells_without_work_are_measured(capsys):
    done = call_main(benchmark.main, capsys, 'matrix', '--kind', 'light', '--cells', 2)
    assert done.returncode == 0, done.stderr
    assert '2 cells without work, importing only numpy, one after the other, forks of one process' in done.stdout
    words = r'overhead of a cell +([\d.]+) s .*; ([\d.]+) after.*, ([\d.]+) before'
    numbers = [float(n) for n in re.search(words, done.stdout).groups()]
    assert numbers[0] == pytest.approx(numbers[1] + numbers[2], abs=0.011)
    whole, again = (float(n) for n in re.search(r'command +([\d.]+) s; .* ([\d.]+) s', done.stdout).groups())
    assert whole > again > 0


def test_one_cell_is_refused(capsys):
    assert_one_sentence(call_main(benchmark.main, capsys, 'matrix', '--cells', 1), '--cells 1', 'take 2')


@pytest.mark.slow
def test_the_command_that_fails_is_named_with_its_error(capsys, monkeypatch):
    from tools.benchmark import matrix as benchmark_matrix

    monkeypatch.setattr(benchmark_matrix, 'PROTOCOL', 'raise ValueError({kind!r} + {dataset!r})')
    words = 'run_severe.py could not be measured', '--import', 'ValueError: light'
    assert_one_sentence(call_main(benchmark.main, capsys, 'matrix', '--kind', 'light'), *words)
