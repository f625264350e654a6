"""Ends of a training that come from outside: one sentence, no traceback, the status that a shell gives."""

import signal

import torch.distributed.run
from torch.distributed.elastic.multiprocessing.api import SignalException

from tests.conftest import DEMO, assert_one_sentence, call_main, demo_options
from tools import launch
from tools import train as train_tool


def test_a_launcher_that_is_told_to_end_says_so(monkeypatch, capsys):
    def told(args):
        raise SignalException('Process 7 got signal: 15', signal.SIGTERM)

    monkeypatch.setattr(torch.distributed.run, 'run', told)
    done = call_main(launch.main, capsys, 'tools/train.py', 2, 'c.py')
    assert_one_sentence(done, 'launch: ended by SIGTERM', status=143)


def test_an_interrupted_training_says_how_it_goes_on(toy, monkeypatch, tmp_path, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr('sigma.engine.Runner.train', interrupted)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'run', *demo_options(toy))
    assert_one_sentence(done, 'train: interrupted', '--resume', status=130)
