"""Several processes: if one is killed, all end; the same command resumes and gives the bits of an unkilled run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sigma.engine import DiagnosticsHook
from tests.conftest import PATIENCE, ROOT, demo_options
from tests.forked import Group, Places, Samples
from tests.sigma.engine.test_safe_to_kill import FINAL, INTERVAL, saved_steps

PROCESSES = 2
HALF = {'train_dataloader__batch_size': 4}  # the global batch stays at 8


def both(*prepare):
    """Several things to do in one process."""
    return lambda: [act() for act in prepare]


def start(config, toy, work, kill=(None, None), **options) -> Group:
    """Both processes, each noting its places and samples; `kill` gives the place to die at, by rank."""
    notes = [
        both(Samples(work.with_name(f'{work.name}.{rank}.samples')), Places(work.with_name(f'{work.name}.{rank}'), at))
        for rank, at in enumerate(kill)
    ]
    return Group(config, work, toy, notes, **HALF, **options)


def samples(work, rank: int) -> dict[int, set[str]]:
    """Step -> hashes of the data this process got there, over all attempts."""
    found: dict[int, set[str]] = {}
    for line in work.with_name(f'{work.name}.{rank}.samples').read_text().splitlines():
        step, digest = line.split()
        found.setdefault(int(step), set()).add(digest)
    return found


@pytest.fixture(scope='module')
def whole(config, toy, tmp_path_factory):
    """Work folder of an uninterrupted run of two processes."""
    work = tmp_path_factory.mktemp('runs') / 'whole'
    group = start(config, toy, work)
    assert group.wait() == [0, 0], group.said
    return work


def assert_the_same(work, whole) -> None:
    """Final state (with all random states), samples and masks equal those of the uninterrupted run."""
    assert (work / FINAL).read_bytes() == (whole / FINAL).read_bytes()
    assert not list(work.glob('.*.tmp'))
    for rank in range(PROCESSES):
        assert samples(work, rank) == samples(whole, rank)


def kill_one(rank: int, number: int, config, toy, whole, folder, **options) -> None:
    """One process dies at some place; the other must not continue alone, and both resume."""
    work = folder / f'killed_{rank}_{number}'
    kill = tuple(number if one == rank else None for one in range(PROCESSES))
    group = start(config, toy, work, kill, **options)
    status = group.wait()
    assert status[rank] == -signal.SIGKILL
    assert status[1 - rank] != 0
    places = work.with_name(f'{work.name}.{rank}').read_text().splitlines()
    assert len(places) == number + 1
    lost = places.count('step: after') - saved_steps(work)
    assert 0 <= lost <= INTERVAL, f'{lost} steps lost by a kill of process {rank} at place {number}'
    resumed = start(config, toy, work, **options)
    assert resumed.wait() == [0, 0], resumed.said
    assert_the_same(work, whole)


def places_of(whole, rank: int) -> list[str]:
    return whole.with_name(f'{whole.name}.{rank}').read_text().splitlines()


def test_processes_are_given_different_samples_and_write_one_checkpoint(whole):
    first, second = samples(whole, 0), samples(whole, 1)
    assert set(first) == set(second) == set(range(10))
    assert all(len(digests) == 1 for digests in first.values())
    assert not {d for s in first.values() for d in s} & {d for s in second.values() for d in s}
    assert set(places_of(whole, 1)) == {'step: before', 'step: after'}  # it writes and deletes nothing
    assert places_of(whole, 0).count('write: half') == 7


@pytest.mark.parametrize(('rank', 'place', 'which'), [(1, 'step: before', 6), (0, 'write: half', 2)])
def test_one_process_is_killed(rank, place, which, config, toy, whole, tmp_path):
    numbers = [number for number, name in enumerate(places_of(whole, rank)) if name == place]
    kill_one(rank, numbers[which], config, toy, whole, tmp_path)


def test_a_loss_that_is_no_number_on_one_process_stops_both_and_keeps_the_state_before(config, toy, whole, tmp_path):
    def no_number_in_the_fourth_step():
        original, steps = DiagnosticsHook.after_train_iter, []

        def after_train_iter(hook, runner, batch_idx, data_batch=None, outputs=None):
            steps.append(batch_idx)
            outputs = outputs | {'loss': outputs['loss'] * float('nan')} if len(steps) == 4 else outputs
            return original(hook, runner, batch_idx, data_batch, outputs)

        DiagnosticsHook.after_train_iter = after_train_iter

    work = tmp_path / 'nan'
    group = Group(config, work, toy, (None, no_number_in_the_fourth_step), **HALF)
    assert set(group.wait()) <= {3, -signal.SIGKILL}
    assert 'The loss of step 4 is nan' in group.said
    assert 'Lower the learning rate' in group.said
    assert 'Traceback' not in group.said
    assert saved_steps(work) == 2  # not 4, where one was due
    resumed = start(config, toy, work)
    assert resumed.wait() == [0, 0], resumed.said
    assert (work / FINAL).read_bytes() == (whole / FINAL).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize('number', range(20))
def test_twenty_kills_of_the_second_process(number, config, toy, whole, tmp_path):
    workers = {'train_dataloader__num_workers': 1} if number % 5 == 0 else {}
    kill_one(1, number, config, toy, whole, tmp_path, **workers)


@pytest.mark.slow
@pytest.mark.parametrize('number', range(10))
def test_ten_kills_of_the_first_process(number, config, toy, whole, tmp_path):
    places = places_of(whole, 0)
    last = len(places) - next(i for i, name in enumerate(reversed(places)) if name == 'step: after')
    kill_one(0, random.Random(2).sample(range(last), 10)[number], config, toy, whole, tmp_path)


# --- under torchrun, as a user starts it -----------------------------------------------------------------------------


class Torchrun:
    """`tools/dist_train.sh` with two processes.

    Args:
        config, work, card: Of the run, which resumes what is there.
    """

    def __init__(self, config, work, card) -> None:
        settings = demo_options(card, default_hooks__checkpoint__interval_iters=INTERVAL, **HALF)
        command = ['bash', 'tools/dist_train.sh', config, PROCESSES, '--work-dir', work, '--resume', *settings]
        env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', 'PYTHON': sys.executable}
        self.log = work.with_name(f'{work.name}.torchrun')
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def rank(self, number: int) -> int:
        """Process id of a rank, 0 before it is there."""
        for folder in Path('/proc').iterdir():
            try:
                parent = int((folder / 'stat').read_text().rpartition(')')[2].split()[1])
                told = (folder / 'environ').read_bytes().split(b'\0') if parent == self.process.pid else []
            except (OSError, IndexError):  # no process, or gone meanwhile
                continue
            if f'LOCAL_RANK={number}'.encode() in told:
                return int(folder.name)
        return 0

    def until(self, condition, seconds: float = 120) -> None:
        """Wait for something, while the run lasts."""
        deadline = time.time() + seconds * PATIENCE
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.time() < deadline, self.said
            time.sleep(0.002)

    def until_all_are_there(self) -> None:
        """Wait for every process to be started."""
        self.until(lambda: all(self.rank(number) for number in range(PROCESSES)))

    def wait(self, seconds: float = 120) -> int:
        """Exit status."""
        return self.process.wait(timeout=seconds * PATIENCE)

    def end(self) -> None:
        """All that is left of it."""
        for pid in [self.rank(number) for number in range(PROCESSES)]:  # each is in a session of its own
            if pid:
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def said(self) -> str:
        return self.log.read_text()


def alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


@pytest.fixture
def torchrun(config, toy):
    """Starts runs, and leaves none behind."""
    runs = []

    def begin(work) -> Torchrun:
        runs.append(Torchrun(config, work, toy))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def test_torchrun_ends_with_the_process_that_was_killed_and_goes_on(torchrun, whole, tmp_path):
    work = tmp_path / 'run'
    run = torchrun(work)
    run.until((work / 'iter_4.safetensors').exists)
    first, second = run.rank(0), run.rank(1)
    os.kill(second, signal.SIGKILL)
    assert run.wait() == 1
    assert 'launch: process 1 was ended by SIGKILL' in run.said
    assert 'Traceback' not in run.said
    assert not alive(first)
    assert not (work / FINAL).exists()
    again = torchrun(work)
    assert again.wait() == 0, again.said
    assert (work / FINAL).read_bytes() == (whole / FINAL).read_bytes()


@pytest.mark.slow
def test_torchrun_that_is_told_to_end_lets_its_processes_save(torchrun, whole, tmp_path):
    work = tmp_path / 'run'
    run = torchrun(work)
    run.until((work / 'iter_2.safetensors').exists)
    for _ in range(2):  # SLURM may send it by two ways
        run.process.terminate()
        time.sleep(0.05)
    assert run.wait() == 75, run.said
    assert 'told to end' in run.said
    assert 'Traceback' not in run.said
    assert f'the state after step {saved_steps(work)} of 10 is saved' in run.said
    again = torchrun(work)
    assert again.wait() == 0, again.said
    assert (work / FINAL).read_bytes() == (whole / FINAL).read_bytes()


@pytest.mark.slow
def test_no_process_outlives_a_torchrun_that_was_killed(torchrun, whole, tmp_path):
    work = tmp_path / 'run'
    run = torchrun(work)
    run.until((work / 'iter_2.safetensors').exists)
    ranks = [run.rank(number) for number in range(PROCESSES)]
    run.process.kill()
    run.process.wait()
    deadline = time.time() + 20 * PATIENCE
    while any(alive(pid) for pid in ranks):
        assert time.time() < deadline, 'a process trains on, and would write beside the next run'
        time.sleep(0.01)
    again = torchrun(work)
    assert again.wait() == 0, again.said
    assert (work / FINAL).read_bytes() == (whole / FINAL).read_bytes()


@pytest.mark.slow
def test_torchrun_loses_processes_again_and_again(torchrun, whole, tmp_path):
    work, draw, saved = tmp_path / 'run', random.Random(3), 0
    for _ in range(8):
        run = torchrun(work)
        run.until_all_are_there()
        time.sleep(draw.uniform(0, 12))
        pid = run.rank(draw.randrange(PROCESSES))
        if pid:
            os.kill(pid, signal.SIGKILL)
        run.wait()
        now = saved_steps(work) if work.is_dir() else 0
        assert now >= saved
        saved = now
    run = torchrun(work)
    assert run.wait() == 0, run.said
    assert (work / FINAL).read_bytes() == (whole / FINAL).read_bytes()
