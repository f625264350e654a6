"""A claim has one holder at a time, and a dead holder loses it."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from sigma import claims
from sigma.claims import FILE, STALE_SECONDS, acquire, drop, holder, place
from tests.conftest import PATIENCE
from tests.eval.tiny_matrix import ROOT


def write_claim(folder, processes, where=None, age_seconds=0.0, token='theirs'):
    """Write a claim as another process would."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {'token': token, 'host': 'node7', 'pid': 4, 'since': 'noon', 'place': where or 'elsewhere'}
    (folder / FILE).write_text(json.dumps(said | {'processes': processes}))
    stamp = time.time() - age_seconds
    os.utime(folder / FILE, (stamp, stamp))


def test_one_process_holds_a_claim_and_releases_it(tmp_path):
    with acquire(tmp_path / 'cell') as held:
        assert held.ours()
        assert acquire(tmp_path / 'cell') is None
        assert holder(tmp_path / 'cell').pid == os.getpid()
        assert f'process {os.getpid()}' in str(holder(tmp_path / 'cell'))
    assert holder(tmp_path / 'cell') is None
    assert list((tmp_path / 'cell').iterdir()) == []
    acquire(tmp_path / 'cell').release()


def test_a_claim_that_a_full_disk_refuses_does_not_count(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as context:
        context.setattr(claims.os, 'write', full)
        with pytest.raises(OSError, match='No space'):
            acquire(tmp_path)
    assert holder(tmp_path) is None
    acquire(tmp_path).release()


def test_a_claim_is_kept_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, 'BEAT_SECONDS', 0.02)
    with acquire(tmp_path):
        os.utime(tmp_path / FILE, (1, 1))
        end = time.monotonic() + 5 * PATIENCE
        while (tmp_path / FILE).stat().st_mtime < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / FILE).stat().st_mtime > 2


def test_a_killed_holder_on_this_machine_loses_its_claim_at_once(tmp_path):
    code = (
        'import sys, time; from sigma.claims import acquire; acquire(sys.argv[1]); print(1, flush=True); time.sleep(60)'
    )
    process = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert acquire(tmp_path) is None
    process.kill()
    process.stdout.close()
    while claims.runs(process.pid):
        time.sleep(0.01)
    with acquire(tmp_path) as held:  # a zombie by now, since nobody has waited for it: it holds nothing
        assert held.ours()
    process.wait()


def test_another_process_with_the_same_pid_is_not_the_holder(tmp_path):
    write_claim(tmp_path, [[os.getpid(), '1']], place())
    assert holder(tmp_path) is None
    write_claim(tmp_path, [[os.getpid(), claims.start_time(os.getpid())]], place(), age_seconds=10**6)
    assert holder(tmp_path).host == 'node7'  # on this machine the process counts, not the time


def test_while_the_matrix_of_a_dead_holder_lives_nobody_else_takes_the_cell(tmp_path):
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    mine = [os.getpid(), claims.start_time(os.getpid())]
    write_claim(tmp_path, [[gone.pid, '1'], mine], place())
    assert acquire(tmp_path) is None
    drop(tmp_path, pid=5)
    assert holder(tmp_path) is not None
    drop(tmp_path, pid=4)
    assert holder(tmp_path) is None


@pytest.mark.parametrize(('age', 'free'), [(0.0, False), (STALE_SECONDS - 20, False), (STALE_SECONDS + 1, True)])
def test_a_holder_on_another_machine_loses_a_stale_claim(tmp_path, age, free):
    write_claim(tmp_path, [[1, '1']], age_seconds=age)
    assert (holder(tmp_path) is None) is free
    held = acquire(tmp_path)
    assert (held is not None) is free
    if held:
        held.release()


def test_an_empty_claim_counts_until_it_is_stale(tmp_path):
    (tmp_path / FILE).touch()  # its maker was killed before it could write
    assert acquire(tmp_path) is None
    assert str(holder(tmp_path)) == 'a process that is just starting'
    os.utime(tmp_path / FILE, (1, 1))
    acquire(tmp_path).release()


def test_only_one_of_many_processes_gets_a_stale_claim(tmp_path):
    for round_ in range(20):
        folder = tmp_path / str(round_)
        write_claim(folder, [[1, '1']], age_seconds=10**6)
        barrier, found = threading.Barrier(8), []

        def take(folder=folder, barrier=barrier, found=found):
            barrier.wait()
            found.append(acquire(folder))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [held for held in found if held is not None]
        assert sum(held.ours() for held in winners) == len(winners) == 1
        winners[0].release()


def test_a_claim_made_between_a_look_and_a_takeover_stays(tmp_path, monkeypatch):
    write_claim(tmp_path, [[1, '1']], age_seconds=10**6)
    look, faster = claims._is_left, []

    def slow(path):
        monkeypatch.setattr(claims, '_is_left', look)
        left = look(path)
        faster.append(acquire(tmp_path))
        return left

    monkeypatch.setattr(claims, '_is_left', slow)
    assert acquire(tmp_path) is None
    assert faster[0].ours()
    faster[0].release()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_takeover_can_be_taken_over(tmp_path):
    write_claim(tmp_path, [[1, '1']], age_seconds=10**6)
    turn = tmp_path / '.claim.json.taking'
    turn.touch()
    assert acquire(tmp_path) is None  # another is at it
    os.utime(turn, (1, 1))
    assert acquire(tmp_path) is None  # which makes way
    held = acquire(tmp_path)
    assert held.ours()
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_slept_too_long_learns_that_it_lost_the_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, 'BEAT_SECONDS', 0.02)
    lost = threading.Event()
    held = acquire(tmp_path, on_loss=lost.set)
    assert not lost.wait(0.1)
    (tmp_path / FILE).unlink()
    write_claim(tmp_path, [[1, '1']])
    assert lost.wait(5)
    assert not held.ours()
    held.release()
    assert holder(tmp_path).token == 'theirs'


def test_an_error_leaves_the_claim_to_the_process_that_waits(tmp_path):
    for waited_for, left in ((os.getppid(), True), (None, False)):
        held = acquire(tmp_path / str(left), waited_for)
        with pytest.raises(ZeroDivisionError), held:
            raise ZeroDivisionError
        assert (holder(tmp_path / str(left)) is not None) is left
        held.release()
