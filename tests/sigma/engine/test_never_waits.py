"""A training that cannot go on ends with a sentence: a video hangs, a process dies, another one holds the folder."""

import json
import os
import shlex
import signal
import sys
import time

import pytest

import sigma.data.transforms
from sigma import claims
from sigma.video import READERS
from tests.conftest import DEMO, PATIENCE, assert_one_sentence, call_main, demo_options
from tests.forked import Group, Run
from tests.sigma.data.test_loading import with_shared_memory
from tools import train as train_tool


class Hanging:
    """A reader that sleeps for ever in one video, as decord does in some (decord #269, #373)."""

    hangs_in: tuple[str, ...] = ()

    def __init__(self, path: str, proof=None) -> None:
        self.path, self._reader = path, ORIGINAL(path, proof)
        self.num_frames = self._reader.num_frames

    def frames(self, indices):
        while self.path.endswith(self.hangs_in):
            time.sleep(100)
        return self._reader.frames(indices)


ORIGINAL = READERS['pyav']


def victim(toy) -> str:
    """A training video of the rendered dataset."""
    return (toy / 'train.txt').read_text().splitlines()[5].split()[0]


def hang(toy):
    """Call in the process of a run: its reader hangs in the victim, and patience is short."""

    def prepare() -> None:
        os.environ['SIGMA_STUCK_SECONDS'] = '1'
        Hanging.hangs_in = (victim(toy),)
        READERS['pyav'] = Hanging

    return prepare


def last_line(run) -> str:
    return run.said.strip().splitlines()[-1]


@pytest.mark.parametrize('workers', [0, 2])
def test_a_video_that_hangs_its_reader_ends_the_training_by_name(workers, config, toy, tmp_path):
    begun = time.monotonic()
    run = Run(config, tmp_path / 'work', toy, hang(toy), train_dataloader__num_workers=workers)
    assert run.wait() == 1, run.said
    assert time.monotonic() - begun < 60 * PATIENCE
    assert victim(toy) in last_line(run)
    assert 'its reader is stuck' in last_line(run)
    assert 'tools/prepare.py' in last_line(run)
    assert 'Traceback' not in run.said


@pytest.mark.integration
def test_one_process_whose_reader_hangs_ends_the_whole_run(config, toy, tmp_path):
    group = Group(config, tmp_path / 'work', toy, (hang(toy), hang(toy)), train_dataloader__batch_size=4)
    assert 1 in group.wait()
    assert 'its reader is stuck' in group.said


def test_a_process_of_the_loader_that_is_killed_ends_the_training(config, toy, tmp_path):
    def prepare() -> None:
        original = sigma.data.transforms.DecodeFrames.transform

        def killed(step, results):
            if results['filename'].endswith(victim(toy)):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(step, results)

        sigma.data.transforms.DecodeFrames.transform = killed

    run = Run(config, tmp_path / 'work', toy, prepare, train_dataloader__num_workers=1)
    assert run.wait() == 1, run.said
    assert 'ended by SIGKILL' in last_line(run)
    assert victim(toy) in last_line(run)
    assert '--resume' in last_line(run)
    assert 'Traceback' not in run.said


@pytest.mark.integration
def test_a_training_in_a_container_with_little_shared_memory_runs(toy, tmp_path):
    """1 MB, where one batch has 1.6: with torch's loader the processes died or the training waited for ever."""
    options = demo_options(toy, train_dataloader__num_workers=2)
    command = ['tools/train.py', DEMO, '--work-dir', tmp_path / 'work', *options]
    done = with_shared_memory('1m', sys.executable, *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('Shared memory is short') == 1
    assert (tmp_path / 'work' / 'iter_10.safetensors').exists()


# --- two trainings in one folder ---


def test_a_second_training_in_a_folder_is_refused_and_the_first_goes_on(config, toy, tmp_path):
    work = tmp_path / 'work'

    def slow() -> None:
        from sigma.engine.loop import TrainLoop

        original = TrainLoop.run_iter

        def run_iter(loop, *arguments):
            original(loop, *arguments)
            while loop.iter == 2 and not (tmp_path / 'go on').exists():
                time.sleep(0.05)

        TrainLoop.run_iter = run_iter

    first = Run(config, work, toy, slow)
    try:
        deadline = time.time() + 100 * PATIENCE
        while not (work / 'iter_2.safetensors').exists():
            assert time.time() < deadline
            time.sleep(0.05)
        second = Run(config, work, toy, log=tmp_path / 'second')
        assert second.wait() == 2
        (sentence,) = [line for line in second.said.splitlines() if line.strip()]
        said = json.loads((work / 'claim.json').read_text())
        for word in (str(work), said['host'], f'process {first.pid}', said['since'], '--work-dir'):
            assert word in sentence
        (tmp_path / 'go on').touch()
        assert first.wait() == 0, first.said
    finally:
        first.kill() if not (work / 'encoder.safetensors').exists() else None
    assert (work / 'iter_10.safetensors').exists()
    assert not (work / 'claim.json').exists()


def test_what_a_killed_training_left_does_not_block(config, toy, tmp_path):
    work = tmp_path / 'work'
    run = Run(config, work, toy)
    deadline = time.time() + 100 * PATIENCE
    while not (work / 'claim.json').exists():
        assert time.time() < deadline
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert (work / 'claim.json').exists()
    again = Run(config, work, toy, log=tmp_path / 'again')
    assert again.wait() == 0, again.said


@pytest.fixture
def claim_of_another_machine(tmp_path):
    folder = tmp_path / 'work'
    folder.mkdir()
    said = {'token': 'theirs', 'host': 'node7', 'pid': 4711, 'since': '2026-11-30T12:00:00+00:00'}
    path = folder / 'claim.json'
    path.write_text(json.dumps(said | {'place': 'node7 boot', 'processes': [[4711, '1']]}))
    return path


def test_another_machine_that_still_touches_its_claim_is_refused(claim_of_another_machine, monkeypatch):
    said = []
    now = time.time()
    monkeypatch.setattr(claims.time, 'sleep', lambda _: os.utime(claim_of_another_machine, (now + 1, now + 1)))
    with pytest.raises(claims.DataError, match=r'node7, process 4711, since 2026-11-30'):
        claims.claim_or_refuse(claim_of_another_machine.parent, 'training', said.append)
    (sentence,) = said
    assert '60 s' in sentence


def test_another_machine_that_is_gone_is_waited_for_and_followed(claim_of_another_machine, monkeypatch):
    """A job that SLURM starts again on another node within a minute goes on, and is not refused."""
    old = time.time() - claims.STALE_SECONDS - 1
    monkeypatch.setattr(claims.time, 'sleep', lambda _: os.utime(claim_of_another_machine, (old, old)))
    with claims.claim_or_refuse(claim_of_another_machine.parent, 'training', lambda _: None) as held:
        assert held.ours()
    assert not claim_of_another_machine.exists()


def test_the_second_process_of_a_run_claims_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv('RANK', '1')
    assert train_tool.rank('pytorch') == 1
    assert train_tool.rank('none') == 0
    with train_tool.claimed(str(tmp_path), 1):
        assert not list(tmp_path.iterdir())


# --- its end ---


def test_a_training_ends_with_its_encoder_and_the_command_that_measures_it(config, toy, tmp_path, capsys):
    work = tmp_path / 'my work'
    options = demo_options(toy)
    done = call_main(train_tool.main, capsys, config, '--work-dir', work, *options)
    assert done.returncode == 0, done.stderr
    first, command = done.stdout.strip().splitlines()[-2:]
    assert str(work / 'encoder.safetensors') in first
    words = shlex.split(command)
    assert words[:4] == ['python', 'eval/run_severe.py', '--suite', 'own_small']
    assert words[words.index('--encoders') + 1 : words.index('--datasets')] == [
        str(work / 'encoder.safetensors'),
        'random',
    ]
    assert words[words.index('--datasets') + 1] == str(toy)
    done = call_main(train_tool.main, capsys, config, '--work-dir', work, '--resume', *options)
    assert_one_sentence(done, 'already complete', status=0)
    assert command in done.stdout
