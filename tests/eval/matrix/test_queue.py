"""States of SLURM jobs from squeue: arrays, jobs that it has forgotten, and a controller that does not answer."""

import subprocess

import pytest

from eval.matrix.executors import queue
from eval.matrix.executors.queue import GONE, QueueWatcher


@pytest.fixture
def answers(monkeypatch):
    """What squeue says, call by call; None: it fails."""
    given: list[str | None] = []

    def run(command, **_):
        assert command[0] == 'squeue'
        if (text := given.pop(0)) is None:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, text.encode(), b'')

    monkeypatch.setattr(queue.subprocess, 'run', run)
    return given


def watcher(*jobs: str) -> QueueWatcher:
    made = QueueWatcher()
    for job in jobs:
        made.register_job(job)
    return made


def test_states_of_an_array_in_one_call(answers):
    answers += ['7_0|RUNNING|n1\n7_1|PENDING|\n8|COMPLETED|n2\n']
    watch = watcher('7_0', '7_1')
    watch.update()
    assert [watch.get_state(job, mode='cache') for job in ('7_0', '7_1')] == ['RUNNING', 'PENDING']
    assert not watch.is_done('7_0', mode='cache')
    assert watch.num_calls == 1


def test_a_job_that_two_answers_do_not_name_has_ended(answers):
    answers += ['7_0|RUNNING|n1\n', '', '']
    watch = watcher('7_0')
    watch.update()
    watch.update()
    assert not watch.is_done('7_0', mode='cache')
    watch.update()
    assert watch.get_state('7_0', mode='cache') == GONE
    assert watch.is_done('7_0', mode='cache')
    watch.update()  # nothing to ask for: no call
    assert watch.num_calls == 3


def test_no_answer_changes_nothing(answers, caplog):
    answers += ['7_0|RUNNING|n1\n', None, None, None]
    watch = watcher('7_0')
    for _ in range(4):
        watch.update()
    assert watch.get_state('7_0', mode='cache') == 'RUNNING'
    assert not [record for record in caplog.records if record.levelname == 'WARNING']
