"""The fine-tuning benchmark compares the same function on both sides and refuses what it cannot measure.

No test depends on measured times.
"""

import argparse
import re

import pytest

from tests.conftest import assert_one_sentence, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark import common, finetune

TINY = (
    'finetune',
    '--arch',
    'tiny',
    '--frames',
    '4',
    '--size',
    '32',
    '--batch',
    '2',
    '--steps',
    '2',
    '--device',
    'cpu',
)


def arguments(**changes) -> argparse.Namespace:
    settings = {'arch': 'tiny', 'frames': 4, 'size': 32, 'batch': 2, 'steps': 1, 'device': 'cpu', 'precision': 'fp32'}
    return argparse.Namespace(**settings | changes)


def test_both_sides_compute_the_same_logits_and_train():
    args = arguments()
    models, batch = finetune.build(args), finetune.make_batch(args)
    assert finetune.largest_difference(models, batch) < 1e-5
    for side, model in models.items():
        before = [p.detach().clone() for p in model.parameters()]
        finetune.Step(model, batch, args)()
        moved = sum(bool((a != b).any()) for a, b in zip(before, model.parameters()))
        assert moved == len(before), side
    assert finetune.largest_difference(models, batch) < 1e-3  # after the same step


MEMORY = {
    'ours': {'peak': 600 * 2**20, 'before': 400 * 2**20},
    'mmaction2': {'peak': 800 * 2**20, 'before': 400 * 2**20},
}


def test_the_report_has_both_sides_and_their_ratio(capsys, monkeypatch):
    monkeypatch.setattr(finetune, 'memory_in_own_process', lambda command, side, *_: MEMORY[side])
    done = call_main(benchmark.main, capsys, *TINY)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r'(ours|mmaction2) +([\d.]+) s +(\d+) MiB +(\d+) MiB without imports', done.stdout)
    assert [row[0] for row in rows] == ['ours', 'mmaction2']
    assert [row[2:] for row in rows] == [('600', '200'), ('800', '400')]
    time = re.search(r'ratio: time ([\d.]+) ', done.stdout)[1]
    assert 'memory 0.75 (goal 0.6), memory without imports 0.50' in done.stdout
    # Steps take milliseconds, and seconds are printed with three digits.
    assert float(time) == pytest.approx(float(rows[0][1]) / float(rows[1][1]), rel=0.2)
    assert '4 frames of 32x32, batch 2, fp32' in done.stdout


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (('--device', 'cuda'), ('no GPU',)),
        (('--steps', '0'), ('--steps 0', 'at least 1')),
        (('--size', '33'), ('33 pixels',)),
        (('--arch', 'huge'), ("'huge'", 'base')),
    ],
)
def test_an_impossible_request_is_refused_in_one_sentence(capsys, change, words):
    assert_one_sentence(call_main(benchmark.main, capsys, *TINY, *change), *words)


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own():
    args = arguments(size=64, frames=16, batch=4)
    found = common.memory_in_own_process('finetune', 'ours', args, finetune.SETTINGS)
    assert found['peak'] > found['before'] + 4 * 3 * 16 * 64 * 64 * 4  # the batch at least
    assert found['before'] > 2**20


@pytest.mark.slow
def test_the_side_whose_process_fails_is_named():
    with pytest.raises(common.BenchmarkError, match='the memory of ours could not be measured: .*33 pixels'):
        common.memory_in_own_process('finetune', 'ours', arguments(size=33), finetune.SETTINGS)


def test_corruptions_are_timed_one_by_one(capsys):
    done = call_main(
        benchmark.main, capsys, 'corruptions', '--size', 32, '--frames', 2, '--names', 'contrast', 'jumble'
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ['contrast', 'jumble']
    assert 'goal 15' in lines[3]
    wrong = call_main(benchmark.main, capsys, 'corruptions', '--names', 'contrats')
    assert_one_sentence(wrong, "Did you mean 'contrast'")
