"""Matrices that are killed, and matrices that meet: the same table, and no finished cell twice."""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from eval.cells import claims
from tests.conftest import PATIENCE
from tests.eval import tiny_matrix as tiny

TABLES = ('tiny-home.table.md', 'tiny-home.table.csv')
FEW = {'encoders': 'ab', 'seeds': (0,)}


def records(work: Path) -> set[str]:
    """Names of the finished cells."""
    return {path.stem for path in (work / 'records').rglob('*.json') if not path.name.startswith('.')}


def tables(work: Path) -> list[bytes]:
    return [(work / name).read_bytes() for name in TABLES]


def say(process) -> str:
    """Wait for the end; what it printed."""
    out, _ = process.communicate(timeout=250 * PATIENCE)
    assert process.returncode == 0, out
    return out


def kill_after(k: int, home: Path, work: Path, **settings) -> set[str]:
    """Start a matrix and kill it when k cells are finished; which are finished by then."""
    process = tiny.popen(home, work, '--jobs', 2, **settings)
    while len(records(work)) < k and process.poll() is None:
        time.sleep(0.002)
    tiny.kill(process)
    return records(work)


def go_on_and_check(home: Path, work: Path, finished: set[str], expected: list[bytes], **settings) -> None:
    """The same command again: the same table, and what was finished did not run again."""
    before = Counter(tiny.ran(home))
    say(tiny.popen(home, work, '--jobs', 2, **settings))
    after = Counter(tiny.ran(home))
    assert tables(work) == expected
    assert {name: after[name] for name in finished} == {name: before[name] for name in finished}
    assert all(before[name] == 1 for name in finished)
    assert list((work / 'cells').rglob('failed.json')) == []
    assert [folder.name for folder in (work / 'cells').iterdir() if claims.holder(folder)] == []


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    """2 columns x 2 encoders by two matrices at once: home, work, and what they said."""
    home = tiny.make(tmp_path_factory.mktemp('tiny') / 'home')
    work = home / 'work'
    pair = [tiny.popen(home, work, '--jobs', 1, **FEW) for _ in range(2)]
    return home, work, [say(process) for process in pair]


def test_two_matrices_at_once_run_every_cell_once_and_both_print_the_whole_table(few):
    home, work, said = few
    assert sorted(tiny.ran(home)) == sorted(records(work))
    assert len(records(work)) == 4
    for out in said:
        assert '[4/4]' in out
    tables = [out.rpartition('\nencoder ')[2] for out in said]  # behind the plan, which depends on the moment
    assert tables[0] == tables[1]
    assert all(name in tables[0] for name in 'ab')


def test_a_killed_matrix_goes_on_to_the_same_table(few, tmp_path):
    _, done, _ = few
    home = tiny.make(tmp_path / 'home')
    finished = kill_after(1, home, tmp_path / 'work', **FEW)
    assert 1 <= len(finished) < 4
    go_on_and_check(home, tmp_path / 'work', finished, tables(done), **FEW)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_after_every_cell_of_twelve(tmp_path):
    whole = tiny.make(tmp_path / 'whole')
    say(tiny.popen(whole, whole / 'work', '--jobs', 2))
    assert len(tiny.ran(whole)) == 12
    for k in range(13):
        home = tiny.make(tmp_path / str(k))
        finished = kill_after(k, home, home / 'work')
        assert len(finished) >= k
        go_on_and_check(home, home / 'work', finished, tables(whole / 'work'))


@pytest.mark.slow
def test_the_next_run_waits_for_a_cell_that_is_still_finishing(tmp_path):
    home, work = tiny.make(tmp_path / 'home', num_encoders=1), tmp_path / 'work'
    name = 'a_tiny_tiny_low_s0'
    tiny.order(home, **{name: ('deaf', 20)})  # it does not hear that its matrix is gone; the next one plans for seconds
    process = tiny.popen(home, work, '--jobs', 2, encoders='a', seeds=(0,))
    while name not in tiny.ran(home):
        time.sleep(0.01)
    time.sleep(0.2)
    tiny.kill(process)
    out = say(tiny.popen(home, work, '--jobs', 2, encoders='a', seeds=(0,)))
    assert f'{name}: run by' in out
    assert f'{name}: ok, by another matrix' in out
    assert tiny.ran(home).count(name) == 1


@pytest.mark.slow
def test_overhead_of_a_cell_is_told(few, capsys):
    """Seconds of a matrix of finished cells, and how much of it a cell is; a benchmark, nothing is asserted of time."""
    home, work, _ = few
    begun = time.perf_counter()
    out = say(tiny.popen(home, work, **FEW))
    seconds = time.perf_counter() - begun
    assert '4 cells, 4 done, 0 to run' in out
    runs = [json.loads(path.read_text())['run']['seconds'] for path in (work / 'records').rglob('*.json')]
    with capsys.disabled():
        print(
            f'\nmatrix: {seconds:.2f} s for a plan and table of 4 finished cells; '
            f'a cell without work took {min(runs):.2f} s, imports included ({os.cpu_count()} cores)'
        )
