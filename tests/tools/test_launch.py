"""Runs that are ended from outside: one sentence, no traceback, the exit status of a shell."""

import errno
import os
import signal
import subprocess
import sys
import time

import torch.distributed.run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError

from tests.conftest import DEMO, PATIENCE, assert_one_sentence, call_main, demo_options
from tools import launch
from tools import train as train_tool


def test_a_launcher_that_is_told_to_end_says_so(monkeypatch, capsys):
    def told(args):
        raise SignalException('Process 7 got signal: 15', signal.SIGTERM)

    monkeypatch.setattr(torch.distributed.run, 'run', told)
    done = call_main(launch.main, capsys, 'tools/train.py', 2, 'c.py')
    assert_one_sentence(done, 'launch: ended by SIGTERM', status=143)


def test_help_tells_how_to_call_it(capsys):
    assert launch.main(['--help']) == 0
    assert 'tools/launch.py SCRIPT N' in capsys.readouterr().out


def test_a_signal_is_handed_on_in_the_way_that_a_script_heeds(tmp_path):
    code = """
import signal, sys, time
if sys.argv[1] == 'heeds':
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
open(sys.argv[2], 'w').close()
time.sleep(60)
"""
    for kind, number in (('heeds', signal.SIGTERM), ('not', signal.SIGUSR1), ('not', signal.SIGTERM)):
        there = tmp_path / f'{kind}-{number}'
        child = subprocess.Popen([sys.executable, '-c', code, kind, str(there)])
        while not there.exists():
            time.sleep(0.01)
        told = []
        with launch.passing_on_signals(told):
            os.kill(os.getpid(), number)
            assert child.wait(timeout=5 * PATIENCE) == (75 if kind == 'heeds' else -signal.SIGTERM)
        assert told == [number]


def test_a_launcher_that_has_started_nothing_yet_ends_by_a_signal(capsys, monkeypatch):
    monkeypatch.setattr(torch.distributed.run, 'run', lambda args: os.kill(os.getpid(), signal.SIGUSR1))
    monkeypatch.setattr(launch, 'children', list)
    done = call_main(launch.main, capsys, 'tools/train.py', 2, 'c.py')
    assert_one_sentence(done, 'launch: ended by SIGUSR1', status=138)


def test_a_lost_machine_is_told_in_a_sentence(monkeypatch, capsys):
    def lost(args):
        raise RendezvousConnectionError('The connection to the C10d store has failed. See inner exception for details.')

    monkeypatch.setattr(torch.distributed.run, 'run', lost)
    for name, value in (('NNODES', '2'), ('MASTER_ADDR', 'node7'), ('MASTER_PORT', '20017')):
        monkeypatch.setenv(name, value)
    done = call_main(launch.main, capsys, 'tools/train.py', 2, 'c.py')
    assert_one_sentence(done, 'node7:20017', '--resume', status=1)


def test_what_went_wrong_is_said_by_the_first_process_alone(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('SIGMA_LAUNCH', str(tmp_path))
    for sentence in ('train: the disk is full.', 'train: another process is gone.'):
        train_tool.say_once(sentence)
    assert capsys.readouterr().err == 'train: the disk is full.\n'


def test_a_disk_that_is_full_for_the_log_too_is_one_sentence():
    said = train_tool.one_sentence(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert 'No space left on device: a file of the run' in said
    assert 'the newest checkpoint stays' in said


def test_an_interrupted_training_says_how_it_goes_on(toy, monkeypatch, tmp_path, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr('sigma.engine.Runner.train', interrupted)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'run', *demo_options(toy))
    assert_one_sentence(done, 'train: interrupted', '--resume', status=130)
