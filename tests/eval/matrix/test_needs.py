"""Cells that need other cells: their place in the plan, their price, waiting, failure, killing, and by hand."""

import hashlib
import json
import shlex
import subprocess
import sys
import time

import pytest

from eval import run_cell, run_severe
from eval.cells import claims
from eval.cells.cell import Cards, Cell, ResolvedCell
from eval.cells.trained import has_record, load_trained
from eval.matrix import suites
from eval.matrix.executors.job import Finished, keep_failure
from eval.matrix.executors.schedule import Watcher, run
from eval.matrix.plan import cost, plan
from eval.protocols import get_protocol
from eval.records import read_record
from sigma.errors import DataError
from tests.conftest import ROOT, assert_one_sentence
from tests.eval import tiny_matrix as tiny
from tests.eval import tiny_needs
from tests.eval.matrix.test_executors import Instant

LOW, USER, GRAND = 'a_tiny_tiny_low_s0', 'a_tiny_user_tiny_user_s0', 'a_tiny_grand_tiny_grand_s0'
HIGH = 'a_tiny_tiny_high_s0'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Cards, known to this process and to those that it starts."""
    made = tiny_needs.make(tmp_path / 'home')
    for name, value in tiny.environment(made).items():
        monkeypatch.setenv(name, value)
    for suite, names in (('chain', ['grand']), ('users', ['user', 'high'])):
        monkeypatch.setitem(suites.SUITES, suite, tiny_needs.entries(made, *names))
    return made


def plan_of(home, *names, encoders='a', seeds=(0,), **settings):
    cards = [str(home / f'{name}.py') for name in encoders]
    return plan(tiny_needs.entries(home, *names), cards, seeds, home / 'work', **settings)


def resolve(home, name) -> ResolvedCell:
    (entry,) = tiny_needs.entries(home, name)
    cell = Cell(entry.protocol, entry.dataset, entry.recipe, str(home / 'a.py'), 0)
    return ResolvedCell(cell, get_protocol(entry.protocol))


def command(home, suite, *more) -> list[str]:
    words = ['--suite', suite, '--encoders', home / 'a.py', '--work-dir', home / 'work', *more]
    return [str(word) for word in [*words, '--import', 'tests.eval.tiny_needs']]


def make_by_hand(home, *names) -> None:
    """Records of these cells, made in this process."""
    for name in names:
        assert run_cell.main(['--work-dir', str(home / 'work'), resolve(home, name).cell.to_json()]) == 0


# --- the plan ------------------------------------------------------------------------------------------------------


def test_needed_cells_come_first_each_once_and_the_suites_own_are_listed(home):
    found = plan_of(home, 'grand', 'user', 'high')
    assert [(item.name, item.listed) for item in found.cells] == [
        (LOW, False),
        (USER, True),
        (GRAND, True),
        (HIGH, True),
    ]
    low, user, grand, _ = found.cells
    assert ([item.name for item in grand.needs], [item.name for item in user.needs]) == ([USER], [LOW])
    assert (low.needed_by, user.needed_by, grand.needed_by) == ([USER], [GRAND], [])
    assert [item.name for item in found.listed()] == [USER, GRAND, HIGH]
    # A suite that lists a needed cell behind its user: it still runs first.
    assert [(item.name, item.listed) for item in plan_of(home, 'user', 'low').cells] == [(LOW, True), (USER, True)]
    # Two users of one cell.
    names = [item.name for item in plan_of(home, 'user', encoders='ab', seeds=(0, 1)).cells]
    assert len(names) == len(set(names)) == 8
    for user in (name for name in names if 'user' in name):
        assert names.index(user) > names.index(user.replace('_user', '', 1).replace('user', 'low'))


def test_jobs_carry_what_they_need_and_chains_are_not_side_by_side(home):
    found = plan_of(home, 'grand', encoders='ab')
    assert found.max_parallel() == 2
    assert plan_of(home, 'grand').max_parallel() == 1
    jobs = {job.name: job for job in found.jobs(home / 'work', ['tests.eval.tiny_needs'])}
    assert len(jobs) == 6
    (user,) = jobs[GRAND].needs
    assert user == jobs[USER]
    assert [job.name for job in user.needs] == [LOW]


def test_a_needed_cell_has_a_price(home, capsys):
    make_by_hand(home, 'low')
    path = resolve(home, 'low').record_path(home / 'work')
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {'run': record['run'] | {'seconds': 3600.0}}))
    found = plan_of(home, 'user', encoders='b')  # of another encoder: the mean of the kind
    assert [(item.name[0], round(item.seconds), item.listed) for item in found.cells] == [
        ('b', 3600.0, False),
        ('b', 5, True),  # by the rule: a cell without torch, with a few tiny clips
    ]
    left = cost(found, 1)
    assert (round(left.seconds), left.num_known, left.num_unknown) == (3605, 2, 0)
    assert left.how == ('measured', 'rule')
    assert run_severe.main([*command(home, 'users', '--dry-run'), '--encoders', str(home / 'b.py')]) == 0
    out = capsys.readouterr().out
    assert '3 cells, 0 done, 3 to run' in out
    assert 'about 1.00 h' in out
    assert '; 1 is not in the suite' in out
    assert f'(not in the suite, needed by b{USER[1:]})' in out
    assert f'to run after b{LOW[1:]}' in out


def test_what_only_finished_cells_needed_is_left_out(home):
    make_by_hand(home, 'low', 'user')
    assert [(item.name, item.state) for item in plan_of(home, 'user').cells] == [(LOW, 'done'), (USER, 'done')]
    resolve(home, 'low').record_path(home / 'work').unlink()
    assert [(item.name, item.state) for item in plan_of(home, 'user').cells] == [(USER, 'done')]
    found = plan_of(home, 'user', 'grand')  # the grand one needs the user's record alone
    assert [(item.name, item.state) for item in found.cells] == [(USER, 'done'), (GRAND, 'to run')]


def test_what_only_a_failed_cell_needs_is_left_out_until_that_is_retried(home):
    user = plan_of(home, 'user').jobs(home / 'work')[-1]
    keep_failure(user, 1, 'no luck')
    assert [(item.name, item.state) for item in plan_of(home, 'user').cells] == [(USER, 'failed')]
    retried = plan_of(home, 'user', retry_failed=True)
    assert [(item.name, item.state) for item in retried.cells] == [(LOW, 'to run'), (USER, 'to run')]


def test_a_circle_is_refused_and_so_is_a_need_that_the_identity_does_not_know(home):
    with pytest.raises(DataError, match='in a circle: tiny_circle on .* -> tiny_circle on'):
        resolve(home, 'circle')
    assert 'in a circle' in plan_of(home, 'circle').problems[0]
    with pytest.raises(DataError, match=f'tiny_silent needs the cell {LOW}, but its config does not hold'):
        _ = resolve(home, 'silent').needs
    assert 'does not hold' in plan_of(home, 'silent').problems[0]


def test_other_weights_of_the_needed_cell_change_the_identity_all_along_the_chain(home):
    before = resolve(home, 'grand')
    with open(home / 'low.py', 'a') as file:
        file.write("recipe['strength'] = 3\n")
    after = resolve(home, 'grand')
    assert (before.name, before.id == after.id) == (after.name, False)


def test_a_needed_cell_is_resolved_once_a_plan(home, monkeypatch):
    configs = []
    config = tiny.Tiny.config
    monkeypatch.setattr(tiny.Tiny, 'config', lambda self, r: configs.append(r.protocol.name) or config(self, r))
    plan_of(home, 'low', 'user', 'grand')
    assert sorted(configs) == ['tiny', 'tiny_grand', 'tiny_user']
    cards = Cards()
    cell = resolve(home, 'low').cell
    assert cards.cell(cell, get_protocol('tiny')) is cards.cell(cell, get_protocol('tiny'))


# --- running -------------------------------------------------------------------------------------------------------


def test_a_chain_runs_in_order_and_only_the_suites_own_is_in_the_table(home, capsys):
    assert run_severe.main(command(home, 'chain', '--jobs', 2)) == 0
    assert tiny.ran(home) == [LOW, USER, GRAND]
    captured = capsys.readouterr()
    assert '3 cells, 0 done, 3 to run, 1 in parallel' in captured.out
    assert '[3/3]' in captured.err
    (table,) = [path.read_text() for path in (home / 'work').glob('chain*.table.csv')]
    assert 'tiny_grand' in table
    assert 'tiny_user' not in table
    value = read_record(resolve(home, 'low').record_path(home / 'work')).score['value']
    assert read_record(resolve(home, 'user').record_path(home / 'work')).notes == [f'{LOW}: {value:.4f}']
    assert run_severe.main(command(home, 'chain')) == 0
    assert '3 cells, 3 done, 0 to run' in capsys.readouterr().out
    assert len(tiny.ran(home)) == 3


def test_users_of_a_cell_that_fails_are_blocked_and_a_retry_runs_all(home, capsys):
    tiny.order(home, **{LOW: ('raise', 'no luck')})
    assert run_severe.main(command(home, 'chain', '--jobs', 2)) == 1
    err = capsys.readouterr().err
    assert f'failed: {LOW}: cell: no luck (log:' in err
    assert f'blocked: {USER}: it needs {LOW}, which failed: cell: no luck' in err
    assert f'blocked: {GRAND}: it needs {USER}, which did not run: it needs {LOW}' in err
    assert '1 failed; --retry-failed' in err
    assert tiny.ran(home) == [LOW]
    assert len(list((home / 'work').rglob('failed.json'))) == 1

    tiny.order(home)
    assert run_severe.main(command(home, 'chain', '--dry-run')) == 0
    out = capsys.readouterr().out
    assert '3 cells, 0 done, 1 failed before, 2 blocked by a failed cell, 0 to run' in out
    assert out.count(f'blocked: it needs {LOW}, which failed') == 2
    assert run_severe.main(command(home, 'chain')) == 1
    assert f'blocked: {GRAND}: it needs {LOW}, which failed before' in capsys.readouterr().err
    assert tiny.ran(home) == [LOW]

    assert run_severe.main(command(home, 'chain', '--retry-failed')) == 0
    assert tiny.ran(home) == [LOW, LOW, USER, GRAND]


def test_a_failed_cell_leaves_cells_that_do_not_need_it_alone(home, capsys):
    tiny.order(home, **{LOW: ('raise', 'no luck')})
    assert run_severe.main(command(home, 'users', '--jobs', 1)) == 1
    assert sorted(tiny.ran(home)) == [HIGH, LOW]
    assert f'blocked: {USER}' in capsys.readouterr().err


def test_killed_while_the_needed_cell_runs_the_same_command_goes_on(home):
    words = [sys.executable, str(ROOT / 'eval' / 'run_severe.py'), *command(home, 'chain')]
    tiny.order(home, **{LOW: ('sleep once', 60)})
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while LOW not in tiny.ran(home) and process.poll() is None:
        time.sleep(0.01)
    tiny.kill(process)
    assert not has_record(resolve(home, 'low'), home / 'work')
    assert run_severe.main(command(home, 'chain')) == 0
    assert tiny.ran(home) == [LOW, LOW, USER, GRAND]


@pytest.mark.slow
def test_users_are_submitted_when_what_they_need_is_done(home):
    assert run_severe.main(command(home, 'chain', '--executor', 'submitit-local')) == 0
    assert tiny.ran(home) == [LOW, USER, GRAND]


# --- the schedule, without processes -------------------------------------------------------------------------------


def jobs_of(home, *names):
    return plan_of(home, *names).jobs(home / 'work')


def write_record(home, name) -> None:
    make_by_hand(home, name)


class Making(Instant):
    """Makes the record of a cell as it ends it."""

    def __init__(self, home, **settings) -> None:
        super().__init__(**settings)
        self.home = home

    def ended(self) -> list[Finished]:
        over = super().ended()
        for finished in over:
            if finished.state == 'done':
                write_record(self.home, finished.job.name.rpartition('_s0')[0].rpartition('_')[2])
        return over


def test_a_cell_of_another_matrix_is_waited_for_before_its_users_start(home, monkeypatch):
    from eval.matrix.executors import schedule

    monkeypatch.setattr(schedule, 'POLL_SECONDS', 0.01)
    held = claims.acquire(resolve(home, 'low').folder(home / 'work'))

    class Other(Watcher):
        looks, started_at = 0, {}

        def started(self, job) -> None:
            self.started_at[job.name] = self.looks

        def tick(self) -> None:
            self.looks += 1
            if self.looks == 20:
                held.release()
                write_record(home, 'low')

    backend, other = Making(home), Other()
    results = run(jobs_of(home, 'user', 'high'), backend, other)
    assert {end.job.name: end.state for end in results} == {LOW: 'done', USER: 'done', HIGH: 'done'}
    assert backend.order == [HIGH, USER]
    assert other.started_at[USER] >= 20


def test_a_failure_in_another_matrix_blocks_the_users(home, monkeypatch):
    from eval.matrix.executors import schedule

    monkeypatch.setattr(schedule, 'POLL_SECONDS', 0.01)
    held = claims.acquire(resolve(home, 'low').folder(home / 'work'))
    jobs = jobs_of(home, 'grand')

    class Other(Watcher):
        def tick(self) -> None:
            if held is not None and held.ours():
                keep_failure(jobs[0], 1, 'theirs')
                held.release()

    results = run(jobs, Instant(), Other())
    assert [(end.job.name, end.state) for end in results] == [(LOW, 'failed'), (USER, 'blocked'), (GRAND, 'blocked')]
    assert results[1].reason.endswith('theirs')


@pytest.mark.parametrize('state', ['stopped', 'changed'])
def test_a_needed_cell_that_was_stopped_does_not_keep_its_users_waiting(home, state):
    backend = Instant({LOW: [state]})
    results = run(jobs_of(home, 'user'), backend)
    assert [(end.job.name, end.state) for end in results] == [(LOW, state), (USER, 'blocked')]
    assert backend.order == [LOW]


def test_a_record_that_vanished_since_the_plan_is_told(home):
    make_by_hand(home, 'low')
    jobs = jobs_of(home, 'user')
    resolve(home, 'low').record_path(home / 'work').unlink()
    (end,) = run(jobs, Instant())
    assert end.state == 'blocked'
    assert 'its record is gone' in end.reason


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_cell_by_hand_names_the_missing_one_and_the_command_that_works(home, monkeypatch, capsys):
    words = ['--work-dir', str(home / 'work'), '--import', 'tests.eval.tiny_needs']
    words.append(resolve(home, 'user').cell.to_json())
    monkeypatch.setattr('sys.argv', ['run_cell.py', *words])
    status = run_cell.guarded()
    captured = capsys.readouterr()
    done = subprocess.CompletedProcess(words, status, '', captured.err)
    assert_one_sentence(done, f'The cell {LOW} has no record in', 'Run it first: python eval/run_cell.py')
    assert tiny.ran(home) == []
    told = shlex.split(captured.err.partition('Run it first: ')[2])
    assert told[:2] == ['python', 'eval/run_cell.py']
    assert run_cell.main(told[2:]) == 0
    assert run_cell.main(words) == 0
    assert tiny.ran(home) == [LOW, USER]


def test_trained_tells_record_facts_and_weights(home):
    low = resolve(home, 'low')
    with pytest.raises(DataError, match=f'{LOW} has no record'):
        load_trained(low, home / 'work')
    make_by_hand(home, 'low')
    trained = load_trained(low, home / 'work')
    assert (trained.num_train, trained.num_train_skipped) == (4, 0)
    assert (trained.selection, trained.subset, trained.sampling) == (
        {'epoch': None, 'steps': None, 'how': 'last'},
        None,
        None,
    )
    assert low.name in trained.note
    with pytest.raises(DataError, match=f'{LOW} has its record but no head.bin in'):
        trained.weights('head.bin')
    with pytest.raises(DataError, match='has its record but no weights'):
        trained.weights()
    (low.folder(home / 'work') / 'head.bin').write_bytes(b'head')
    (low.folder(home / 'work') / 'iter_9.safetensors').write_bytes(b'nine')
    (low.folder(home / 'work') / 'iter_10.safetensors').write_bytes(b'ten')
    assert trained.weights('head.bin').sha256 == hashlib.sha256(b'head').hexdigest()
    assert trained.weights().path.name == 'iter_10.safetensors'
    # A record of other weights is none of this cell.
    (home / 'a.safetensors').write_text('others')
    assert not has_record(resolve(home, 'low'), home / 'work')
