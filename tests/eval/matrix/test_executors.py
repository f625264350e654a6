"""How processes of cells end and what is stored then; several matrices at once; SLURM jobs."""

import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from eval.cells import claims
from eval.matrix.executors import job as job_module
from eval.matrix.executors import schedule
from eval.matrix.executors.job import Finished, Job, conclude, keep_failure, prepare_retry, read_failure, settled, start
from eval.matrix.executors.local import Local, default_jobs
from eval.matrix.executors.schedule import Watcher, run
from tests.conftest import PATIENCE

SCRIPT = """import os, signal, sys
what = sys.argv[-1]
print('so far so good')
print('the reason: ' + what, flush=True)
if what.startswith('signal'):
    os.kill(os.getpid(), int(what.split()[1]))
sys.exit(int(what.split()[1]))
"""


@pytest.fixture
def make_job(tmp_path, monkeypatch):
    """Makes jobs whose process does what the cell says: `exit N` or `signal N`."""
    script = tmp_path / 'cell.py'
    script.write_text(SCRIPT)
    monkeypatch.setattr(job_module, 'RUN_CELL', script)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')

    def make(does='exit 0', name='one', attempts=0) -> Job:
        folder = tmp_path / 'work' / 'cells' / name
        return Job(name, name * 8, does, str(folder), str(folder / 'r.json'), str(tmp_path / 'work'), attempts=attempts)

    return make


@pytest.fixture
def with_records(monkeypatch):
    """A cell with a record file counts as done, whatever the file holds."""

    class Stub:
        def __init__(self, path):
            self.cell = {'id': Path(path).read_text()}

    monkeypatch.setattr(job_module, 'read_record', Stub)


def finish(job: Job) -> Finished:
    running = start(job, cores=1)
    running.process.wait()
    return conclude(running)


# --- one process ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('does', 'state', 'words'),
    [
        ('exit 2', 'failed', 'the reason: exit 2'),
        ('exit 0', 'failed', 'left no record'),
        (f'signal {signal.SIGKILL.value}', 'failed', 'out of memory'),
        (f'signal {signal.SIGSEGV.value}', 'failed', 'died of SIGSEGV after: the reason'),
        (f'signal {signal.SIGTERM.value}', 'stopped', 'stopped from outside by SIGTERM'),
        (f'signal {signal.SIGINT.value}', 'stopped', 'SIGINT'),
        (f'exit {claims.ELSEWHERE}', 'elsewhere', ''),
        (f'exit {job_module.CHANGED}', 'changed', 'the reason'),
    ],
)
def test_exit_status_and_last_words_decide_the_state_of_a_cell(make_job, does, state, words):
    job = make_job(does)
    finished = finish(job)
    assert finished.state == state
    assert words in finished.reason
    failure = read_failure(job.folder)
    assert (failure is not None) is (state == 'failed')
    if failure:
        assert (failure.reason, failure.attempts, failure.id) == (finished.reason, 1, job.id)
        assert failure.log == str(job.log)


def test_attempts_are_counted_and_the_latest_reason_is_kept(make_job):
    assert finish(make_job('exit 3')).reason == 'the reason: exit 3'
    again = make_job('exit 4', attempts=1)
    assert settled(again) is None
    prepare_retry(again)
    assert read_failure(again.folder) is None  # killed now, it would count as not done
    assert finish(again).reason == 'the reason: exit 4'
    assert read_failure(again.folder).attempts == 2
    assert settled(again).state == 'failed'
    assert again.log.read_text().count('so far so good') == 2


def test_success_removes_the_failure(make_job, with_records):
    job = make_job('exit 0', attempts=1)
    keep_failure(job, 1, 'memory')
    Path(job.record).write_text(job.id)
    assert finish(job).state == 'done'
    assert read_failure(job.folder) is None


@pytest.mark.parametrize('does', ['exit 2', f'signal {signal.SIGTERM.value}', f'signal {signal.SIGSEGV.value}'])
def test_a_cell_that_has_its_record_is_done_however_its_process_ends(make_job, with_records, does):
    job = make_job(does)
    Path(job.folder).mkdir(parents=True)
    Path(job.record).write_text(job.id)
    assert finish(job).state == 'done'
    assert read_failure(job.folder) is None


def test_a_failure_that_cannot_be_read_still_counts(make_job):
    job = make_job()
    Path(job.folder).mkdir(parents=True)
    (Path(job.folder) / 'failed.json').write_text('{')
    assert 'cannot be read' in read_failure(job.folder).reason
    assert settled(job).state == 'failed'


# --- many ----------------------------------------------------------------------------------------------------------


class Instant:
    """A backend whose cells all end at the next look, in the given way."""

    poll_seconds = 0.001

    def __init__(self, ends=None, room=2) -> None:
        self.ends, self.num_places, self.running, self.order, self.stopped = ends or {}, room, [], [], False

    def room(self) -> int:
        return self.num_places - len(self.running)

    def start(self, jobs) -> None:
        assert len(jobs) <= self.room()
        self.running += jobs
        self.order += [job.name for job in jobs]

    def ended(self) -> list[Finished]:
        over, self.running = self.running, []
        return [Finished(job, self.ends.get(job.name, ['done'] * 9).pop(0), seconds=0.0) for job in over]

    def stop(self) -> None:
        self.stopped = True


def test_a_cell_that_fails_does_not_stop_the_others(make_job):
    backend = Instant({'b': ['failed']})
    results = run([make_job(name=name) for name in 'abcde'], backend)
    assert [(r.job.name, r.state) for r in results] == [(n, 'failed' if n == 'b' else 'done') for n in 'abcde']
    assert backend.stopped


def test_cells_held_by_another_matrix_are_waited_for(make_job, with_records, monkeypatch):
    monkeypatch.setattr(schedule, 'POLL_SECONDS', 0.01)
    done, failed, left, own = (make_job(name=name) for name in ('done', 'failed', 'left', 'own'))
    held = {job.name: claims.acquire(job.folder) for job in (done, failed, left)}

    class Others(Watcher):
        """What the others do after we have looked."""

        looks = 0

        def tick(self) -> None:
            self.looks += 1
            if self.looks == 10:
                Path(done.record).write_text(done.id)
                held['done'].release()
            if self.looks == 20:
                keep_failure(failed, 1, 'theirs')
                held['failed'].release()
            if self.looks == 30:
                held['left'].release()  # gone without a record or a failure

    backend = Instant()
    results = {r.job.name: r for r in run([done, failed, left, own], backend, Others())}
    assert {name: r.state for name, r in results.items()} == {
        'done': 'done',
        'failed': 'failed',
        'left': 'done',
        'own': 'done',
    }
    assert backend.order == ['own', 'left']
    assert results['failed'].reason == 'theirs'
    assert results['done'].seconds is None


def test_a_cell_that_another_matrix_took_first_is_tried_again_later(make_job, monkeypatch):
    monkeypatch.setattr(schedule, 'POLL_SECONDS', 0.01)
    backend = Instant({'a': ['elsewhere', 'done']})
    results = run([make_job(name='a'), make_job(name='b')], backend)
    assert sorted((r.job.name, r.state) for r in results) == [('a', 'done'), ('b', 'done')]
    assert backend.order == ['a', 'b', 'a']


def test_an_interrupt_ends_the_processes_and_leaves_no_failure(make_job, tmp_path):
    (tmp_path / 'cell.py').write_text('import time; time.sleep(60)')

    class Impatient(Watcher):
        def tick(self) -> None:
            raise KeyboardInterrupt

    backend, job = Local(1), make_job()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([job], backend, Impatient())
    assert time.monotonic() - begun < 30
    assert backend.running == []
    assert read_failure(job.folder) is None


def test_cells_are_spread_over_the_gpus(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,5')
    assert Local(3).places == ['2', '5', '2']
    assert default_jobs() == 2
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert Local(2).places == [None, None]
    assert default_jobs() == min(4, len(os.sched_getaffinity(0)))


# --- SLURM ---------------------------------------------------------------------------------------------------------


def cluster(folder, **settings):
    from eval.matrix.executors.cluster import Cluster

    return Cluster(folder, **{'minutes': 90, 'at_once': 2} | settings)


def wait_for(condition, seconds=60) -> None:
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < end, 'it took too long'
        time.sleep(0.05)


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Fake SLURM commands that record what is submitted."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    scripts = {'sbatch': f'cp "$1" {tmp_path}/submitted.sh; echo Submitted batch job 123', 'srun': '', 'scancel': ''}
    for name, script in scripts.items():
        (folder / name).write_text(f'#!/bin/sh\n{script}\n')
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
    return tmp_path / 'submitted.sh'


def test_cells_become_a_slurm_array(make_job, tmp_path, fake_slurm):
    options = {'slurm_partition': 'long', 'gpus_per_node': 1, 'mem_gb': 64, 'slurm_account': 'lab'}
    backend = cluster(tmp_path / 'jobs', options=options)
    backend.start([make_job(name=name) for name in 'abc'])
    text = fake_slurm.read_text()
    for line in ('--array=0-2%2', '--partition=long', '--time=90', '--gpus-per-node=1', '--mem=64GB', '--account=lab'):
        assert f'#SBATCH {line}' in text
    assert '#SBATCH --signal=USR2@' in text  # the word before the time limit
    assert [task.job_id for _, task in backend.running] == ['123_0', '123_1', '123_2']
    backend.stop()


def test_missing_slurm_or_an_unknown_option_is_one_sentence(tmp_path, monkeypatch, fake_slurm):
    with pytest.raises(ValueError, match='--slurm-options.*gpus_per_nod'):
        cluster(tmp_path / 'jobs', options={'gpus_per_nod': 1})
    monkeypatch.setenv('PATH', str(tmp_path))  # no srun there
    with pytest.raises(ValueError, match='srun.*--executor local'):
        cluster(tmp_path / 'jobs')


def test_a_job_runs_a_cell_keeps_its_failure_and_gives_its_end(make_job, tmp_path):
    backend, job = cluster(tmp_path / 'jobs', local=True, at_once=1), make_job('exit 3')
    assert backend.room() == 1
    # The jobs' processes read the tree's own `run_cell.py`, which takes this cell for bad input.
    backend.start([job])
    assert backend.room() == 0
    ended = []
    wait_for(lambda: ended.extend(backend.ended()) or ended)
    assert (ended[0].state, ended[0].job) == ('failed', job)
    assert read_failure(job.folder).reason == ended[0].reason
    assert 'JSON' in job.log.read_text()


@pytest.mark.integration
def test_a_job_at_its_time_limit_is_queued_again_and_a_lost_one_is_not_a_failure(tmp_path, monkeypatch):
    from tests.eval import tiny_matrix as tiny

    home, work = tiny.make(tmp_path / 'home', num_encoders=1), tmp_path / 'work'
    for name, value in tiny.environment(home).items():
        monkeypatch.setenv(name, value)
    tiny.order(home, a_tiny_tiny_low_s0=('sleep once', 60), a_tiny_tiny_high_s0=('sleep', 60))
    jobs = tiny.jobs_of(home, work)
    backend, ended = cluster(tmp_path / 'jobs', local=True, at_once=2, max_timeouts=1, minutes=5), []

    def interrupt(job: Job) -> None:
        """What SLURM does before the time limit: a signal to the process that waits for the cell's."""
        (_, (waiting, _)) = claims.holder(job.folder).processes
        os.kill(waiting, signal.SIGUSR2)

    try:
        backend.start(jobs)
        wait_for(lambda: len(tiny.ran(home)) == 2)
        for job in jobs:
            interrupt(job)
        wait_for(lambda: len(tiny.ran(home)) == 4)  # each was queued again
        interrupt(jobs[1])  # once too often
        wait_for(lambda: ended.extend(backend.ended()) or len(ended) == 2)
    finally:
        backend.stop()
    states = {finished.job.name: finished for finished in ended}
    assert states['a_tiny_tiny_low_s0'].state == 'done'
    assert states['a_tiny_tiny_high_s0'].state == 'stopped'
    assert 'timed-out too many times' in states['a_tiny_tiny_high_s0'].reason
    assert [read_failure(job.folder) for job in jobs] == [None, None]
    assert all(claims.holder(job.folder) is None for job in jobs)


def test_a_job_that_slurm_ended_for_memory_failed(make_job, monkeypatch):
    from submitit.core.utils import UncompletedJobError

    from eval.matrix.executors import cluster as module

    class Lost:
        job_id, state = '7', 'OUT_OF_MEMORY'

        def result(self):
            raise UncompletedJobError('no result')

    job = make_job()
    finished = module._result(job, Lost())
    assert finished.state == 'failed'
    assert 'memory' in json.loads((Path(job.folder) / 'failed.json').read_text())['reason']
