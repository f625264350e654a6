"""Simulated tables have the truth that they claim, and the command prints a line per row."""

import numpy as np
import pytest

from tests.conftest import assert_one_sentence, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark import simulations


def test_the_truth_of_shares_is_that_of_many_videos():
    draw = simulations.shares((200_000,), False)
    for seed in range(3):
        sample = draw(np.random.default_rng(seed), 1)
        found = 100 * np.mean([encoder[0].mean() for encoder in sample.encoders])
        assert found == pytest.approx(sample.truth, abs=0.4)  # three standard errors of one video set


def test_a_row_gives_the_same_counts_again():
    (row,) = (row for row in simulations.rows((1,)) if row.name.startswith('multi-label'))
    assert simulations.simulate(row, 3)[:4] == simulations.simulate(row, 3)[:4]


def test_the_command_prints_a_line_per_row(capsys):
    done = call_main(benchmark.main, capsys, 'statistics', '--tables', 4, '--seeds', 1, '--rows', 'per', 'detection')
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('| ')]
    assert len([line for line in lines if line.startswith('| mean per class')]) == 4
    assert len([line for line in lines if line.startswith('| detection mAP')]) == 1
    assert 'goals: interval and difference 93 to 97' in done.stdout


@pytest.mark.parametrize('words', [('--tables', 0), ('--rows', 'nothing'), ('--seeds', 0)])
def test_what_cannot_be_simulated_is_refused(capsys, words):
    done = call_main(benchmark.main, capsys, 'statistics', *words)
    assert_one_sentence(done)
