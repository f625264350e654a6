"""Cells as forks of one server give the same results, even if the server, a cell or the matrix dies."""

import gc
import json
import os
import signal
import time
from pathlib import Path

import pytest

from eval.cells import claims
from eval.matrix.executors import forks as module
from eval.matrix.executors.forks import WITH_TORCH, modules_of
from eval.matrix.executors.job import read_failure
from eval.matrix.executors.local import Local
from eval.matrix.executors.schedule import Watcher, run
from eval.protocols.base import Protocol
from eval.records import read_record
from tests.conftest import PATIENCE
from tests.eval import tiny_matrix as tiny

LOW, HIGH = 'a_tiny_tiny_low_s0', 'a_tiny_tiny_high_s0'
LIGHT = ('eval.cells.cell', 'eval.metrics')

pytestmark = pytest.mark.skipif(not module.POSSIBLE, reason='cells are forked only on Linux')


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Cards of the tiny matrix, for this process and those it starts."""
    made = tiny.make(tmp_path / 'home', num_encoders=1)
    for name, value in tiny.environment(made).items():
        monkeypatch.setenv(name, value)
    return made


def told(home: Path, name: str) -> dict:
    return json.loads((home / f'{name}.told.json').read_text())


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < end, 'it took too long'
        time.sleep(0.02)


def score(job) -> float:
    return read_record(job.record).score['value']


def test_forks_are_separate_processes_with_the_same_scores_as_fresh_ones(home):
    tiny.order(home, **{LOW: ('tell', 0), HIGH: ('tell', 0)})
    jobs, fresh = tiny.jobs_of(home, home / 'work'), tiny.jobs_of(home, home / 'fresh')
    backend = Local(2, LIGHT)
    backend.places = ['5', None]  # as on a machine with a GPU
    assert [end.state for end in run(jobs, backend)] == ['done', 'done']
    found = [told(home, name) for name in (LOW, HIGH)]
    assert len({one['pid'] for one in found} | {os.getpid()}) == 3
    assert found[0]['parent'] == found[1]['parent'] != os.getpid()  # the server
    assert [one['environment']['CUDA_VISIBLE_DEVICES'] for one in found] == ['5', '']
    for one, job in zip(found, jobs):
        assert one['argv'][1:3] == ['--work-dir', job.work_dir]
        assert not {'SIGMA_CELL_OF', 'PYTORCH_NVML_BASED_CUDA_CHECK'} & set(one['environment'])
        assert f'process {one["pid"]}' in job.log.read_text()

    assert [end.state for end in run(fresh, Local(2))] == ['done', 'done']
    assert told(home, LOW)['parent'] == os.getpid()
    assert [score(job) for job in jobs] == [score(job) for job in fresh]


@pytest.mark.slow
def test_exit_status_of_a_fork_decides_the_state_of_its_cell(home):
    low, high = tiny.jobs_of(home, home / 'work')
    for order, state, words in (
        (('raise', 'no luck'), 'failed', 'cell: no luck'),
        (('signal', signal.SIGKILL.value), 'failed', 'out of memory'),
        (('signal', signal.SIGTERM.value), 'stopped', 'stopped from outside by SIGTERM'),
    ):
        tiny.order(home, **{LOW: order})
        first, second = run([low, high], Local(1, LIGHT))
        assert (first.state, second.state) == (state, 'done')
        assert words in first.reason
        assert claims.holder(low.folder) is None
        Path(low.folder, 'failed.json').unlink(missing_ok=True)


def test_a_cell_starts_a_new_program_if_the_server_has_used_a_gpu(home):
    tiny.order(home, **{LOW: ('tell', 0)})
    ends = run(tiny.jobs_of(home, home / 'work'), Local(1, ['tests.eval.unusable_gpu']))
    assert [end.state for end in ends] == ['done', 'done']
    assert told(home, LOW)['argv'][0].endswith('eval/run_cell.py')
    assert 'SIGMA_CELL_OF' not in told(home, LOW)['environment']


@pytest.mark.slow
def test_a_module_that_cannot_be_preloaded_stops_no_cell(home):
    ends = run(tiny.jobs_of(home, home / 'work'), Local(1, ['eval.nothing_of_this_name', *LIGHT]))
    assert [end.state for end in ends] == ['done', 'done']


class AsSoonAs(Watcher):
    """Runs an action once, as soon as a condition holds."""

    def __init__(self, condition, action) -> None:
        self.condition, self.action, self.done = condition, action, False

    def tick(self) -> None:
        if not self.done and self.condition():
            self.done = True
            self.action()


def test_if_the_server_dies_running_cells_stop_and_the_others_start_as_processes(home, caplog):
    tiny.order(home, **{LOW: ('sleep once', 60)})
    low, high = tiny.jobs_of(home, home / 'work')
    backend = Local(1, LIGHT)
    watcher = AsSoonAs(lambda: tiny.ran(home) == [LOW], lambda: os.kill(backend.forks._server.pid, signal.SIGKILL))
    first, second = run([low, high], backend, watcher)
    assert (first.state, second.state) == ('stopped', 'done')
    assert backend.forks.gone
    assert 'ended by SIGKILL' in caplog.text
    wait_for(lambda: claims.holder(low.folder) is None, 10)
    assert read_failure(low.folder) is None


def test_a_server_that_dies_while_it_imports_costs_no_cell(home, monkeypatch, caplog):
    (home / 'deadly_to_import.py').write_text('import os; os.write(2, b"no luck\\n"); os._exit(3)')
    monkeypatch.setenv('PYTHONPATH', f'{os.environ["PYTHONPATH"]}{os.pathsep}{home}')
    backend = Local(2, ['deadly_to_import'])
    assert [end.state for end in run(tiny.jobs_of(home, home / 'work'), backend)] == ['done', 'done']
    assert sorted(tiny.ran(home)) == sorted([LOW, HIGH])
    assert backend.forks.gone
    assert 'exit status 3 (no luck)' in caplog.text


def test_a_fork_that_outlives_its_server_keeps_its_cell_until_it_ends(home, caplog):
    tiny.order(home, **{LOW: ('deaf', 2)})  # it ignores SIGTERM after its server died, and goes on to its record
    low, high = tiny.jobs_of(home, home / 'work')
    backend, states = Local(1, LIGHT), []

    class Looks(AsSoonAs):
        def tick(self) -> None:
            super().tick()
            if backend.forks.gone and not Path(low.record).is_file():
                states.append((claims.holder(low.folder) is not None, HIGH in tiny.ran(home)))

    def kill_server() -> None:
        time.sleep(0.3)  # the cell notes that it runs, and ignores SIGTERM a moment later
        os.kill(backend.forks._server.pid, signal.SIGKILL)

    ends = run([low, high], backend, Looks(lambda: tiny.ran(home) == [LOW], kill_server))
    assert [end.state for end in ends] == ['done', 'done']
    assert 'ended by SIGKILL' in caplog.text
    assert len(states) > 10
    assert set(states) == {(True, False)}
    assert tiny.ran(home) == [LOW, HIGH]
    assert claims.holder(low.folder) is None


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize('what', ['sleep', 'deaf'])
def test_an_interrupt_ends_forks_and_server(home, what, monkeypatch, caplog):
    if what == 'deaf':  # without this it takes the ten seconds that a cell is given
        monkeypatch.setattr(module.Fork, 'terminate', lambda fork: None)
        wait = module.Fork.wait
        monkeypatch.setattr(module.Fork, 'wait', lambda fork, timeout=None: wait(fork, timeout and 0.2))
    tiny.order(home, **{LOW: (what, 60)})
    backend, jobs = Local(2, LIGHT), tiny.jobs_of(home, home / 'work')
    with pytest.raises(KeyboardInterrupt):
        run(jobs, backend, AsSoonAs(lambda: LOW in tiny.ran(home), interrupt))
    assert backend.forks.gone
    assert 'forked from' not in caplog.text
    assert claims.holder(jobs[0].folder) is None
    assert read_failure(jobs[0].folder) is None


@pytest.mark.slow
def test_an_interrupt_while_the_server_imports_does_not_wait_for_it(home, monkeypatch):
    slow = home / 'slow_to_import.py'
    slow.write_text('import time; time.sleep(60)')
    monkeypatch.setenv('PYTHONPATH', f'{os.environ["PYTHONPATH"]}{os.pathsep}{home}')
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(tiny.jobs_of(home, home / 'work'), Local(1, ['slow_to_import']), AsSoonAs(lambda: True, interrupt))
    assert time.monotonic() - begun < 10
    assert tiny.ran(home) == []


@pytest.mark.slow
def test_a_server_ends_with_its_matrix(home):
    backend = Local(1, LIGHT)
    tiny.order(home, **{LOW: ('sleep', 60)})
    backend.start(tiny.jobs_of(home, home / 'work')[:1])
    wait_for(lambda: tiny.ran(home) == [LOW])
    backend.ended()
    server, (running, _) = backend.forks._server, backend.running[0]
    server.stdin.close()  # as if the matrix had died
    wait_for(lambda: server.poll() is not None, 10)
    wait_for(lambda: not claims.runs(running.process.pid), 10)
    backend.stop()


def test_modules_to_preload_depend_on_the_protocols():
    class Light(Protocol):
        name, uses_torch = 'of_a_user', False

    class Heavy(Protocol):
        name = 'of_a_user_too'

    Heavy.__module__ = 'eval.protocols.finetune'
    assert modules_of([Heavy()]) == []  # a single cell
    assert modules_of([Light(), Light()]) == list(LIGHT)
    assert modules_of([Light(), Heavy()]) == [*LIGHT, 'eval.protocols.finetune', *WITH_TORCH]
    del Light, Heavy
    gc.collect()  # else other tests find them among the protocols
