"""The command: what failed, what was stopped, what is planned and what is missing; on cells that take no time."""

import errno
import json
import os
import signal
import subprocess
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from eval import run_severe
from eval.cells import claims, encoders
from eval.matrix import arguments, suites
from eval.matrix.executors.job import Finished, job_of
from eval.matrix.live import Progress, clock
from eval.matrix.plan import plan
from sigma.data.cards import DatasetCard
from sigma.errors import DataError
from tests.conftest import assert_one_sentence
from tests.eval import tiny_matrix as tiny

LOW, HIGH = 'a_tiny_tiny_low_s0', 'a_tiny_tiny_high_s0'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Cards of the tiny matrix, known to this process and to those that it starts."""
    made = tiny.make(tmp_path / 'home')
    for name, value in tiny.environment(made).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(suites.SUITES, 'tiny', tiny.entries(made))
    return made


def command(home: Path, *more, encoders: str = 'a', seeds=(0,)) -> list[str]:
    return tiny.arguments(home, home / 'work', *more, encoders=encoders, seeds=seeds)


def guarded(monkeypatch, capsys, words) -> subprocess.CompletedProcess:
    """The command with its errors as sentences, in this process."""
    monkeypatch.setattr('sys.argv', ['run_severe.py', *words])
    status = run_severe.guarded()
    return subprocess.CompletedProcess(words, status, *capsys.readouterr())


def plan_of(home: Path, names: str = 'a', seeds=(0,), **settings):
    return plan(tiny.entries(home), [str(home / f'{n}.py') for n in names], seeds, home / 'work', **settings)


def test_a_baseline_with_a_row_for_each_recipe_is_told_and_one_of_its_rows_can_be_asked_for(home, capsys):
    assert run_severe.main(command(home, '--jobs', 2, '--baseline', 'a')) == 0
    said = capsys.readouterr().out
    assert '--baseline takes one of: a [low], a [high]' in said
    assert (home / 'work' / 'tiny-home.table.md').is_file()
    assert run_severe.main(command(home, '--baseline', 'a [low]')) == 0
    assert 'tiny / tiny: a [high] ' in capsys.readouterr().out


def test_a_misspelt_baseline_or_a_useless_option_is_told_before_anything_runs(home, monkeypatch, capsys):
    done = guarded(monkeypatch, capsys, command(home, '--baseline', 'b', encoders='ac'))
    assert_one_sentence(done, "Unknown baseline 'b'", 'Known: ', 'a, c')
    done = guarded(monkeypatch, capsys, command(home, '--shots', '5'))
    assert_one_sentence(done, '--shots: the suite tiny', 'these do: demo')
    for words, said in ((('--seeds', '-1'), '-1 was given; a whole number from 0'), (('--shots', '0'), 'at least 1')):
        with pytest.raises(SystemExit) as left:
            run_severe.main(command(home, *words))
        assert left.value.code == 2
        assert said in capsys.readouterr().err
    assert tiny.ran(home) == []
    assert not (home / 'work').exists()


def test_a_work_directory_that_cannot_be_is_one_sentence(home, monkeypatch, capsys):
    (home / 'work').write_text('')
    for more in ((), ('--dry-run',)):
        done = guarded(monkeypatch, capsys, command(home, *more))
        assert_one_sentence(done, f"--work-dir '{home}/work' cannot be used: '{home}/work' is not a folder")
    words = tiny.arguments(home, home / 'work' / 'below', encoders='a', seeds=(0,))
    assert_one_sentence(
        guarded(monkeypatch, capsys, words), "work/below' cannot be used", f"'{home}/work' is not a folder"
    )
    assert tiny.ran(home) == []


def test_a_disk_that_fills_while_cells_run_ends_in_a_sentence_and_the_command_goes_on(home, monkeypatch, capsys):
    from eval.matrix.executors import job as job_module

    def full(path, data):
        raise OSError(errno.ENOSPC, 'No space left on device')  # as a write says it, without a name

    tiny.order(home, **{LOW: ('raise', 'no luck')})
    with monkeypatch.context() as context:
        context.setattr(job_module, 'write_atomic', full)  # of the failure
        done = guarded(monkeypatch, capsys, command(home, '--jobs', 1))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f'run_severe: No space left on device ({home}/work); finished cells keep their records; '
        'run the same command to continue'
    )
    tiny.order(home)
    assert run_severe.main(command(home)) == 0
    assert sorted(set(tiny.ran(home))) == [HIGH, LOW]


def test_a_second_interrupt_ends_without_a_table_and_says_how_to_go_on(home, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_severe, 'run_cells', interrupted)
    monkeypatch.setattr(run_severe, 'print_table', interrupted)
    done = guarded(monkeypatch, capsys, command(home))
    assert done.returncode == 130
    first, second = done.stderr.strip().splitlines()
    assert first.startswith('run_severe: stopped by Ctrl-C: 0 of 2 cells have their records')
    assert second == 'run_severe: interrupted again, so there is no table; the same command continues'


# --- what failed and what was stopped ------------------------------------------------------------------------------


def test_failed_cells_stay_until_asked_and_stopped_ones_go_on(home, capsys):
    tiny.order(home, **{LOW: ('raise', 'no luck'), HIGH: ('signal', signal.SIGTERM.value)})
    assert run_severe.main(command(home, '--jobs', 2)) == 1
    said = capsys.readouterr()
    assert f'failed: {LOW}: cell: no luck (log: {home}/work/cells/{LOW}-' in said.err
    assert f'stopped: {HIGH}: stopped from outside by SIGTERM' in said.err
    assert '1 failed; --retry-failed' in said.err
    (kept,) = (home / 'work' / 'cells').rglob('failed.json')
    assert json.loads(kept.read_text())['reason'] == 'cell: no luck'

    tiny.order(home)
    assert run_severe.main(command(home)) == 1  # the stopped one runs, the failed one does not
    said = capsys.readouterr()
    assert '2 cells, 0 done, 1 failed before, 1 to run' in said.out
    assert f'failed before: {LOW}: cell: no luck' in said.err
    assert sorted(tiny.ran(home)) == [HIGH, HIGH, LOW]

    tiny.order(home, **{LOW: ('signal', signal.SIGKILL.value)})
    assert run_severe.main(command(home, '--retry-failed')) == 1
    assert 'out of memory' in capsys.readouterr().err
    assert json.loads(kept.read_text())['attempts'] == 2

    tiny.order(home)
    assert run_severe.main(command(home, '--retry-failed')) == 0
    assert not kept.exists()
    assert (kept.parent / 'cell.log').read_text().count('started on') == 3
    assert tiny.ran(home).count(HIGH) == 2


def test_weights_that_change_while_it_runs_are_no_failure(home, capsys, monkeypatch):
    from eval.matrix.executors import schedule

    settled = schedule.settled

    def change_first(job):
        (home / 'a.safetensors').write_text('other weights')
        return settled(job)

    monkeypatch.setattr(schedule, 'settled', change_first)
    assert run_severe.main(command(home)) == 1
    assert 'changed since the plan was made' in capsys.readouterr().err
    assert tiny.ran(home) == []
    assert list((home / 'work').rglob('failed.json')) == []


@pytest.mark.slow
def test_the_jobs_of_slurm_run_here(home, capsys):
    assert run_severe.main(command(home, '--executor', 'submitit-local', '--jobs', 2)) == 0
    assert '[2/2]' in capsys.readouterr().err
    assert sorted(tiny.ran(home)) == [HIGH, LOW]


# --- the plan ------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_states_and_costs_and_writes_nothing(home, capsys):
    assert run_severe.main(command(home, '--dry-run')) == 0
    out = capsys.readouterr().out
    assert '2 cells, 0 done, 2 to run' in out
    assert 'no such cell has run on this machine yet, so by a rule of thumb: 5 s per cell' in out
    rows = [line.split() for line in out.splitlines() if LOW in line or HIGH in line]
    # steps, clips (4 + 10), views, work, minutes, megabytes: nothing is unknown
    assert [row[2:] for row in rows] == [['0', '14', '1', '-', '0.1', '0.0', 'to', 'run']] * 2
    assert '?' not in out
    assert not (home / 'work').exists()


def test_costs_come_from_cells_of_the_same_kind(home, capsys):
    run_severe.main(command(home))
    capsys.readouterr()
    (path,) = [p for p in (home / 'work' / 'records').rglob('*.json') if LOW in p.name]
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {'run': record['run'] | {'seconds': 7200.0}}))
    (home / 'work' / 'cells' / f'{LOW}-{record["cell"]["id"][:8]}' / 'epoch_1.bin').write_bytes(bytes(5_000_000))
    (home / 'work' / 'records' / 'broken.json').write_text('{')

    found = plan_of(home, 'ab', seeds=(0, 1))
    costs = {item.name: (item.seconds, item.num_bytes) for item in found.cells}
    assert costs[LOW][0] == costs['a_tiny_tiny_low_s1'][0] == costs['b_tiny_tiny_low_s0'][0] == 7200.0
    assert costs['b_tiny_tiny_low_s0'][1] == costs[LOW][1] > 5_000_000 > costs['b_tiny_tiny_high_s0'][1]
    assert run_severe.main(command(home, '--dry-run', '--jobs', 3, encoders='ab', seeds=(0, 1))) == 0
    out = capsys.readouterr().out
    assert '8 cells, 2 done, 6 to run, 3 in parallel, about 2.00 h and 0.02 GB for the rest' in out
    (line,) = [line for line in out.splitlines() if 'b_tiny_tiny_low_s0' in line]
    assert line.split()[2:] == ['0', '14', '1', '-', '120.0', '5.0', 'to', 'run']


def test_failed_and_running_cells_stand_in_the_plan(home, capsys):
    tiny.order(home, **{LOW: ('raise', 'no luck')})
    run_severe.main(command(home))
    capsys.readouterr()
    (resolved,) = [i.resolved for i in plan_of(home, seeds=(1,)).cells if 'low' in i.name]
    with claims.acquire(resolved.folder(home / 'work')):
        run_severe.main(command(home, '--dry-run', seeds=(0, 1)))
    out = capsys.readouterr().out
    assert '4 cells, 1 done, 1 failed before, 1 running elsewhere, 1 to run' in out
    assert 'failed: cell: no luck (log:' in out
    assert f'running elsewhere: {os.uname().nodename}, process {os.getpid()}' in out
    assert [i.state for i in plan_of(home, retry_failed=True).cells] == ['to run', 'done']


def test_all_that_is_missing_is_told_at_once_and_nothing_runs(home, capsys, monkeypatch):
    (home / 'train.txt').unlink()
    (home / 'b.safetensors').unlink()
    other = tiny.make(home / 'other')
    (other / 'dataset.py').write_text((other / 'dataset.py').read_text().replace("'tiny'", "'second'"))
    (other / 'v9.mp4').unlink()
    words = command(home, encoders='ab')
    words[words.index(str(home))] = f'{home}'
    words.insert(words.index(str(home)) + 1, str(other))
    for more in ([], ['--dry-run']):
        done = guarded(monkeypatch, capsys, words + more)
        assert done.returncode == 2
        lines = done.stderr.strip().splitlines()
        assert lines[0] == 'run_severe: 3 things are missing or do not fit; nothing was run'
        assert f"1 of its 3 files are missing from '{home}': train.txt. Prepare it with: python tools" in lines[1]
        assert 'names 1 videos that are no longer under' in lines[2]
        assert 'v9.mp4. Prepare it with' in lines[2]
        assert 'b.safetensors is not there' in lines[3]
        assert len(lines) == 4
        assert '8 that cannot run' in done.stdout
    assert done.stdout.count('cannot run, see below') == 8
    assert not (home / 'work').exists()


def test_one_missing_thing_is_one_sentence(home, capsys, monkeypatch):
    (home / 'index.jsonl').unlink()
    words = 'tiny is not prepared: 1 of its 3 files', 'index.jsonl. Prepare it with: python tools/prepare.py tiny'
    assert_one_sentence(guarded(monkeypatch, capsys, command(home)), *words)


def test_files_that_are_absent_are_all_named_with_the_command(home, capsys, monkeypatch):
    for name in ('train.txt', 'test.txt', 'index.jsonl'):
        (home / name).unlink()
    words = (
        '3 of its 3 files are missing',
        'train.txt, test.txt, index.jsonl. Prepare it with: python tools/prepare.py tiny',
    )
    assert_one_sentence(guarded(monkeypatch, capsys, command(home)), *words)


def test_weights_and_lists_are_hashed_once_a_plan(home, monkeypatch):
    hashed, listed = [], []
    sha256, content = encoders.sha256_file, DatasetCard.content_sha256
    monkeypatch.setattr(encoders, 'sha256_file', lambda path: hashed.append(Path(path).stem) or sha256(path))
    monkeypatch.setattr(DatasetCard, 'content_sha256', lambda card, split: listed.append(split) or content(card, split))
    assert len(plan_of(home, 'abc', seeds=range(5)).cells) == 30
    assert sorted(hashed) == ['a', 'b', 'c']
    assert sorted(listed) == ['test', 'train']


# --- a user's own protocol; options --------------------------------------------------------------------------------


def test_a_file_of_ones_own_brings_a_protocol(tmp_path):
    from eval.protocols import get_protocol, import_protocols

    mine = tmp_path / 'mine.py'
    mine.write_text(
        "from eval.protocols.base import Protocol\nclass Mine(Protocol):\n    name = 'mine_alone'\n    version = 7\n"
    )
    import_protocols([str(mine)])
    assert get_protocol('mine_alone').version == 7
    assert type(get_protocol('tiny')).__name__ == 'Tiny'


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('import nothing_of_this_name', '--import .*: cannot be imported: ModuleNotFoundError: .*nothing_of_this_name'),
        (
            "from eval.protocols.base import Protocol\nclass M(Protocol):\n    name = 'finetune'",
            "'finetune' of .* has the name of one of ours",
        ),
    ],
)
def test_an_import_that_does_not_fit_is_refused(tmp_path, text, words):
    import gc

    from eval.protocols import import_protocols

    file = tmp_path / f'bad_{len(text)}.py'
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        import_protocols([str(file)])
    import sys

    sys.modules.pop(f'imported_{file.stem}', None)
    gc.collect()  # the class, which would stay known


@pytest.mark.parametrize(('text', 'wanted'), [('90', 90), ('1:30:00', 90), ('0:00:30', 0.5)])
def test_time_limits_are_minutes_or_clock_times(text, wanted):
    assert arguments.minutes(text) == wanted


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        (('--slurm-time', '1:30'), 'minutes or H:MM:SS'),
        (('--slurm-time', '0'), 'minutes or H:MM:SS'),
        (('--slurm-options', 'mem_gb'), 'KEY=VALUE is needed'),
        (('--jobs', '0'), 'at least 1'),
    ],
)
def test_options_that_do_not_fit_are_refused(home, capsys, option, words):
    with pytest.raises(SystemExit) as stopped:
        run_severe.parse_args(command(home, *option))
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_slurm_that_is_not_here_is_a_sentence_and_nothing_runs(home, capsys, monkeypatch):
    monkeypatch.setenv('PATH', '/nowhere')
    done = guarded(monkeypatch, capsys, command(home, '--executor', 'slurm'))
    assert_one_sentence(done, 'SLURM is not available', '--executor local')


# --- what is shown while it runs -----------------------------------------------------------------------------------


def progress(home: Path, terminal: bool, height: int = 30) -> tuple[Progress, list]:
    found = plan_of(home, 'abc', seeds=(0, 1))
    found.cells[0].state = 'done'
    found.cells[2].seconds, found.cells[2].how = 100.0, 'measured'
    console = Console(file=StringIO(), force_terminal=terminal, width=120, height=height)
    return Progress(found, 2, console), [job_of(item.resolved, home / 'work') for item in found.cells]


def test_a_terminal_shows_cells_with_state_and_time(home, monkeypatch):
    shown, jobs = progress(home, terminal=True)
    assert shown.seconds_left() == pytest.approx((10 * 5 + 100) / 2, abs=0.5)  # by the rule, 5 s per cell
    begun = time.monotonic()
    shown.started(jobs[1])
    shown.started(jobs[2])
    shown.waits(jobs[3], claims.Claim(token='t', host='node7', pid=9, since='noon'))
    shown.ended(Finished(jobs[1], 'failed', 'no luck', 10.0))
    monkeypatch.setattr(time, 'monotonic', lambda: begun + 30.5)
    # 8 + 1 cells at 10 s, as the one that ended took, and one of 100 s of which 30 have gone; two at a time
    assert shown.seconds_left() == pytest.approx((9 * 10 + 70) / 2, abs=1)
    shown.console.print(shown.table())
    text = shown.console.file.getvalue()
    assert '2/12 cells' in text
    assert '1 failed' in text
    assert 'elsewhere (node7, process 9, since noon)' in text
    assert f'log: {jobs[2].log}'[:110] in text
    (line,) = [line for line in text.splitlines() if jobs[2].name in line and 'log:' not in line]
    assert 'running' in line
    assert '0:00:30' in line
    assert '0:01:40' in line


def test_a_low_terminal_shows_what_runs_and_counts_the_rest(home):
    shown, jobs = progress(home, terminal=True, height=8)
    shown.started(jobs[11])
    shown.console.print(shown.table())
    text = shown.console.file.getvalue()
    assert jobs[11].name in text
    assert 'and 9 more' in text
    assert len(text.strip().splitlines()) <= 8


def test_elsewhere_a_line_a_cell(home):
    shown, jobs = progress(home, terminal=False)
    with shown:
        shown.started(jobs[1])
        for _ in range(3):
            shown.waits(jobs[3], claims.Claim(token='t', host='node7', pid=9, since='noon'))
        shown.ended(Finished(jobs[1], 'done', '', 3.0))
        shown.ended(Finished(jobs[3], 'done'))
    assert shown.console.file.getvalue().splitlines() == [
        f'{jobs[3].name}: run by node7, process 9, since noon; waiting for its record',
        f'[2/12] {jobs[1].name}: ok, 3 s',
        f'[3/12] {jobs[3].name}: ok, by another matrix',
    ]
    assert clock(3725) == '1:02:05'
