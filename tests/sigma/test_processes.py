"""The pool: whatever becomes of one job, the others are done, and the caller is told."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sigma import processes
from sigma.errors import DataError
from sigma.processes import ProcessDied, StuckWatch, in_processes, stuck_seconds

ROOT = Path(__file__).resolve().parents[2]  # not from tests.conftest: every worker would import it, and torch with it


def die_on_three(job: int) -> int:
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def leave_on_three(job: int) -> int:
    """Ends the process with exit status 0, as a C library may, without an answer."""
    if job == 3:
        os._exit(0)
    return job * job


def die_while_sending_three(job: int) -> bytes | int:
    """Is killed with half of its result in the pipe."""
    if job != 3:
        return job * job
    whole = Connection._send

    def half(pipe, data, *args, **kwargs):
        if len(data) > 1000:
            os.write(pipe.fileno(), data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        whole(pipe, data, *args, **kwargs)

    Connection._send = half
    return bytes(20_000)


def die_once(job: Path) -> str:
    if not job.exists():
        job.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return 'done'


def refuse(job: int) -> None:
    raise DataError(f'job {job} cannot be done')


@pytest.mark.parametrize(
    ('function', 'exit_code'),
    [(die_on_three, -signal.SIGKILL), (leave_on_three, 0), (die_while_sending_three, -signal.SIGKILL)],
)
def test_a_worker_that_dies_takes_no_other_job_with_it(function, exit_code):
    results = dict(in_processes(function, range(8), workers=2))
    assert results.pop(3) == ProcessDied(exit_code)
    assert results == {job: job * job for job in range(8) if job != 3}


def hang_on_three(job: int) -> int:
    if job == 3:
        time.sleep(10**6)
    return job * job


def work_on_three(job: int) -> int:
    """Uses a processor for longer than a process may stand still."""
    begun = time.process_time()
    while job == 3 and time.process_time() - begun < 1.5:
        pass
    return job * job


def stop_on_three(job: int) -> int:
    """Is stopped, so that SIGTERM does not end it."""
    if job == 3:
        os.kill(os.getpid(), signal.SIGSTOP)
    return job * job


@pytest.mark.parametrize('function', [hang_on_three, stop_on_three])
def test_a_job_that_hangs_is_given_up_and_the_others_are_done(function, monkeypatch):
    monkeypatch.setenv('SIGMA_STUCK_SECONDS', '1')
    results = dict(in_processes(function, range(6), workers=2))
    died = results.pop(3)
    assert died.exit_code == -signal.SIGKILL
    assert died.stuck_seconds >= 1
    assert results == {job: job * job for job in range(6) if job != 3}


def test_a_job_that_works_may_take_long_but_not_for_ever(monkeypatch):
    monkeypatch.setenv('SIGMA_STUCK_SECONDS', '1')
    assert dict(in_processes(work_on_three, [3], workers=1)) == {3: 9}
    (found,) = dict(in_processes(work_on_three, [3], workers=1, busy_seconds=0.4)).values()
    assert found.stuck_seconds >= 0.4


@pytest.mark.parametrize('text', ['no number', '0', '-3', 'inf', 'nan'])
def test_a_time_that_makes_no_sense_is_refused(text, monkeypatch):
    monkeypatch.setenv('SIGMA_STUCK_SECONDS', text)
    with pytest.raises(DataError, match='SIGMA_STUCK_SECONDS'):
        stuck_seconds()


def test_who_was_not_looked_at_for_long_begins_anew(monkeypatch):
    """A program that a user stopped and let go on, or a machine that slept."""
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(processes, 'processor_use', lambda pid: (7.0, False))
    watch = StuckWatch(10)
    for now[0], stuck in [(0, 0), (5, 0), (9, 0), (10, 10), (14, 14), (3600, 0), (3609, 0), (3610, 10)]:
        assert watch.look(1, 'piece') == stuck
    assert watch.look(1, 'another piece') == 0


def test_a_job_whose_process_died_is_tried_once_more(tmp_path):
    assert list(in_processes(die_once, [tmp_path / 'mark'], workers=1)) == [(tmp_path / 'mark', 'done')]


def test_an_exception_in_a_worker_is_raised_in_the_parent():
    with pytest.raises(DataError, match='job 7 cannot be done'):
        list(in_processes(refuse, [7], workers=1))


def test_a_run_that_is_left_early_ends_its_workers():
    results = in_processes(time.sleep, [0, 3600, 3600], workers=2)
    assert next(results) == (0, None)
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert not multiprocessing.active_children()


SCRIPT = """
import sys, time
from sigma.processes import in_processes

def tell(job):
    print('running', flush=True)
    time.sleep(3600)

if __name__ == '__main__':
    list(in_processes(tell, range(4), workers=2))
"""


def test_ctrl_c_ends_the_run_and_its_workers(tmp_path):
    (tmp_path / 'run.py').write_text(SCRIPT)
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    command = [sys.executable, str(tmp_path / 'run.py')]
    pipe = subprocess.PIPE
    run = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, start_new_session=True, text=True)
    assert [run.stdout.readline().strip() for _ in range(2)] == ['running'] * 2
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to all of them
    _, said = run.communicate(timeout=60)  # until the last of them has closed the pipe
    assert run.returncode == -signal.SIGINT
    assert said.count('Traceback') == 1  # the parent's
    assert said.strip().endswith('KeyboardInterrupt')
