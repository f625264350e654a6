"""Matrices on a real SLURM of two nodes: arrays, failures, time limits, cancelled jobs, a killed command."""

import subprocess
import sys
import time

import pytest

from eval.records import read_record
from tests.conftest import PATIENCE
from tests.eval import tiny_matrix as tiny
from tests.real_slurm import slurm  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration
LOW, HIGH = 'a_tiny_tiny_low_s0', 'a_tiny_tiny_high_s0'
# A minute is the shortest limit there is; the word before it comes after about ten seconds.
SHORT = ('--slurm-time', '1', '--slurm-options', 'slurm_signal_delay_s=50')


@pytest.fixture
def home(tmp_path):
    return tiny.make(tmp_path / 'home', num_encoders=1)


def begin(slurm, home, *more) -> subprocess.Popen:  # noqa: F811
    """Start the matrix of two cells on the cluster."""
    options = ('--executor', 'slurm', '--slurm-gpus', '0', '--slurm-cpus', '1', *more)
    words = tiny.arguments(home, home / 'work', *options, encoders='a', seeds=(0,))
    command = [sys.executable, str(tiny.ROOT / 'eval' / 'run_severe.py'), *words]
    return subprocess.Popen(
        command,
        env=tiny.environment(home) | slurm.environment,
        cwd=tiny.ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen, seconds: float = 90) -> subprocess.CompletedProcess:
    out, err = process.communicate(timeout=seconds * PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def scores(work) -> dict[str, float]:
    found = [read_record(path) for path in sorted(work.rglob('*_s0.json'))]
    return {record.cell['name']: record.score['value'] for record in found}


def test_one_cell_of_an_array_fails_and_the_others_are_done(slurm, home):  # noqa: F811
    tiny.order(home, **{HIGH: ('raise', 'no such luck')})
    done = finish(begin(slurm, home))
    assert done.returncode == 1, done.stderr
    assert sorted(tiny.ran(home)) == [HIGH, LOW]
    assert list(scores(home / 'work')) == [LOW]
    assert 'no such luck' in done.stderr
    assert 'sacct' not in done.stderr
    assert 'WARNING' not in done.stderr


@pytest.mark.slow  # SLURM lets a requeued job wait for two minutes
def test_a_cell_out_of_time_is_requeued_and_gives_the_same_score(slurm, home):  # noqa: F811
    tiny.order(home, **{HIGH: ('sleep once', 300)})
    done = finish(begin(slurm, home, *SHORT), seconds=400)
    assert done.returncode == 0, done.stderr
    assert tiny.ran(home).count(HIGH) == 2
    assert tiny.ran(home).count(LOW) == 1
    plain = tiny.make(home.parent / 'plain', num_encoders=1)
    assert finish(tiny.popen(plain, plain / 'work', encoders='a', seeds=(0,))).returncode == 0
    assert scores(home / 'work') == scores(plain / 'work')


def test_a_cancelled_job_is_told_at_once_and_goes_on_when_asked_again(slurm, home):  # noqa: F811
    tiny.order(home, **{HIGH: ('sleep once', 300)})
    process = begin(slurm, home)
    slurm.wait_for(lambda: HIGH in tiny.ran(home), 'a running cell')
    slurm.wait_for(lambda: list(scores(home / 'work')) == [LOW], 'the other record')
    slurm.wait_for(lambda: len(running(slurm)) == 1, 'end of the other job')
    (job,) = running(slurm)
    begun = time.monotonic()
    slurm.ask('scancel', job)
    done = finish(process)
    assert time.monotonic() - begun < 45 * PATIENCE  # not the ten minutes of a watcher that must not be asked
    assert done.returncode == 1
    assert 'run the same command to continue' in done.stderr
    assert not list((home / 'work').rglob('failed.json'))
    assert finish(begin(slurm, home)).returncode == 0
    assert sorted(scores(home / 'work')) == [HIGH, LOW]


def test_a_killed_command_leaves_its_jobs_and_the_next_one_runs_no_cell_twice(slurm, home):  # noqa: F811
    tiny.order(home, **{HIGH: ('sleep', 12), LOW: ('sleep', 12)})
    process = begin(slurm, home)
    slurm.wait_for(lambda: len(tiny.ran(home)) == 2, 'two running cells')
    tiny.kill(process)
    done = finish(begin(slurm, home))
    assert done.returncode in (0, 1), done.stderr  # 1: the cells were running elsewhere when it looked
    slurm.wait_for(lambda: len(scores(home / 'work')) == 2, 'records of both')
    assert sorted(tiny.ran(home)) == [HIGH, LOW]
    assert finish(begin(slurm, home)).returncode == 0
    assert sorted(tiny.ran(home)) == [HIGH, LOW]


def running(slurm) -> list[str]:  # noqa: F811
    """The tasks that run or end, as scancel takes them."""
    return slurm.ask('squeue', '--noheader', '--array', '--states=RUNNING,COMPLETING', '--format=%i').split()


def test_an_impossible_request_is_one_sentence(slurm, home):  # noqa: F811
    done = finish(begin(slurm, home, '--slurm-options', 'slurm_partition=none'))
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stderr
    said = done.stderr.strip().splitlines()[-1]  # after what sbatch itself wrote
    assert said.startswith('run_severe: SLURM takes no jobs: invalid partition specified: none')
