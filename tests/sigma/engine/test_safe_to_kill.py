"""After a kill anywhere, the same command resumes, loses at most one interval, and ends with the same bits."""

import errno
import importlib.util
import os
import random
import re
import resource
import signal
import time

import pytest

from sigma.checkpoints import files as checkpoints
from sigma.checkpoints.files import read_training_state
from tests.conftest import assert_one_sentence, call_main
from tests.forked import Places, Run, tiny_config
from tools import train as train_tool

INTERVAL = 2  # steps between checkpoints, of `Run`
FINAL = 'iter_10.safetensors'


@pytest.fixture(scope='module')
def whole(config, toy, tmp_path_factory):
    """Work folder of an uninterrupted run, the places it passed, and how long it took."""
    work = tmp_path_factory.mktemp('runs') / 'whole'
    passed, begun = work.with_name('whole.places'), time.time()
    run = Run(config, work, toy, Places(passed))
    assert run.wait() == 0, run.said
    return work, passed.read_text().splitlines(), time.time() - begun


def saved_steps(work) -> int:
    """Step of the checkpoint that a resume would take, or 0. Every checkpoint in the folder must be whole."""
    for path in work.glob('iter_*.safetensors'):
        read_training_state(path)
    pointer = work / 'last_checkpoint'
    if not pointer.is_file():
        return 0
    return read_training_state(pointer.read_text())['meta']['iter']


def assert_resumes(config, toy, work, final: bytes, **options) -> None:
    run = Run(config, work, toy, **options)
    assert run.wait() == 0, run.said
    assert (work / FINAL).read_bytes() == final
    assert not list(work.glob('.*.tmp'))


def kill_at(number: int, config, toy, whole, folder, **options) -> None:
    """Die at a place, check the files, resume, compare."""
    work, passed = folder / f'killed_{number}', folder / f'killed_{number}.places'
    assert Run(config, work, toy, Places(passed, number), **options).wait() == -signal.SIGKILL
    places = passed.read_text().splitlines()
    assert places == whole[1][: number + 1]  # it died where it should
    lost = places.count('step: after') - saved_steps(work)
    assert 0 <= lost <= INTERVAL, f'{lost} steps lost by a kill at place {number}, {places[-1]}'
    assert_resumes(config, toy, work, (whole[0] / FINAL).read_bytes(), **options)


def test_the_places_of_a_run_are_those_where_it_could_break(whole):
    counts = {place: whole[1].count(place) for place in set(whole[1])}
    assert counts['step: before'] == counts['step: after'] == 10
    assert counts['write: half'] == 7  # steps 2, 4, 5, 6, 8, 10, and the encoder
    assert counts['rename: before'] == counts['rename: after'] == 13  # and the pointer beside each of six
    assert counts['delete: before'] == counts['delete: after'] == 5  # six checkpoints, two stay; and the claim


@pytest.mark.parametrize(
    ('place', 'which'),
    [
        ('write: half', 2),
        ('delete: after', 1),
        pytest.param('step: after', 6, marks=pytest.mark.slow),
        pytest.param('rename: before', 4, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_each_kind_of_place(place, which, config, toy, whole, tmp_path):
    numbers = [number for number, name in enumerate(whole[1]) if name == place]
    kill_at(numbers[which], config, toy, whole, tmp_path)


def test_a_kill_between_the_checkpoint_and_its_pointer(config, toy, whole, tmp_path):
    pointers = [number for number, name in enumerate(whole[1]) if name == 'rename: after'][0::2]
    kill_at(pointers[2], config, toy, whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('number', range(50))
def test_fifty_kills_at_random_places(number, config, toy, whole, tmp_path):
    last = len(whole[1]) - next(i for i, name in enumerate(reversed(whole[1])) if name == 'step: after')
    numbers = random.Random(0).sample(range(last), 50)
    workers = {'train_dataloader__num_workers': 1} if number % 5 == 0 else {}
    kill_at(numbers[number], config, toy, whole, tmp_path, **workers)


def kill_again_and_again(kills: int, config, toy, whole, folder, **options) -> None:
    """SIGKILL from outside at arbitrary times, in one work folder."""
    work, draw, saved = folder / 'again', random.Random(1), 0
    for _ in range(kills):
        run = Run(config, work, toy, **options)
        time.sleep(draw.uniform(0.2, 1.0) * whole[2])
        run.kill()
        now = saved_steps(work) if work.is_dir() else 0
        assert now >= saved
        saved = now
    assert_resumes(config, toy, work, (whole[0] / FINAL).read_bytes(), **options)


@pytest.mark.slow
def test_kills_by_the_clock(config, toy, whole, tmp_path):
    kill_again_and_again(2, config, toy, whole, tmp_path)


@pytest.mark.slow
def test_many_kills_by_the_clock_with_a_loader_of_its_own_process(config, toy, whole, tmp_path):
    kill_again_and_again(12, config, toy, whole, tmp_path, train_dataloader__num_workers=1)


# --- a disk that refuses ---------------------------------------------------------------------------------------------


def no_space_at_the_third():
    """ENOSPC in the middle of the third checkpoint."""
    whole, calls = checkpoints.save_file, []

    def save_file(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 3:
            with open(path, 'wb') as file:
                file.write(b'half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return whole(tensors, path, metadata)

    checkpoints.save_file = save_file


def small_files_after_the_second():
    """The kernel itself refuses to let the third checkpoint grow."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    whole, calls = checkpoints.save_file, []

    def save_file(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        return whole(tensors, path, metadata)

    checkpoints.save_file = save_file


@pytest.mark.parametrize(
    ('refusal', 'reason'),
    [
        (small_files_after_the_second, 'File too large'),
        pytest.param(no_space_at_the_third, 'No space left', marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(refusal, reason, config, toy, whole, tmp_path):
    work = tmp_path / 'full'
    run = Run(config, work, toy, refusal)
    assert run.wait() == 2, run.said
    last = run.said.strip().splitlines()[-1]
    assert 'iter_5.safetensors could not be written' in last
    assert reason in last
    assert 'untouched' in last
    assert 'Traceback' not in run.said
    assert saved_steps(work) == 4
    assert not list(work.glob('.*.tmp'))
    assert_resumes(config, toy, work, (whole[0] / FINAL).read_bytes())


# --- runs that stop, and what must not disturb one -------------------------------------------------------------------


def test_a_stop_at_a_collapse_keeps_the_state(config, toy, whole, tmp_path):
    work = tmp_path / 'stopped'
    hook = {'custom_hooks__3__interval': 1, 'custom_hooks__3__patience': 3, 'custom_hooks__3__stop': True}
    run = Run(config, work, toy, **hook, custom_hooks__3__thresholds__feature_std=9)  # above what can be
    assert run.wait() == 3, run.said
    last = run.said.strip().splitlines()[-1]
    assert 'A collapse at step 3' in last
    assert 'the state after step 3 is saved' in last
    assert saved_steps(work) == 3
    assert_resumes(config, toy, work, (whole[0] / FINAL).read_bytes())


KNN = """
custom_hooks = [
    dict(type='sigma.ThroughputHook'), dict(type='sigma.DiagnosticsHook'), dict(type='sigma.CollapseHook'),
    dict(type='sigma.ProgressHook'),
    dict(type='sigma.OnlineKNN', card='{card}', every_epochs=1, k=5, pipeline=[
        dict(type='sigma.OpenVideo'), dict(type='sigma.SampleDense', num_frames=16, stride_frames=2, test_mode=True),
        dict(type='sigma.DecodeFrames'), dict(type='sigma.ResizeSquare', size=64)]),
]
"""


def test_neighbours_and_curves_leave_the_training_as_it_is(toy, whole, tmp_path):
    if importlib.util.find_spec('tensorboard') is None:
        pytest.skip('tensorboard is an extra and not installed')
    run = Run(tiny_config(tmp_path, KNN.format(card=toy)), tmp_path / 'knn', toy, arguments=['--tensorboard'])
    assert run.wait() == 0, run.said
    assert (tmp_path / 'knn' / FINAL).read_bytes() == (whole[0] / FINAL).read_bytes()
    log = next((tmp_path / 'knn').glob('2*/*.log')).read_text()
    assert log.count('of 20 clips of 20 listed, bank of 40 of 40, k 5') == 2
    assert len(re.findall(r'random weights [\d.]+ %, chance 10.00 %', log)) == 2
    assert list((tmp_path / 'knn').glob('2*/vis_data/events.out.tfevents*'))


def test_curves_need_their_extra(config, toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_tool.importlib.util, 'find_spec', lambda name: None)
    done = call_main(train_tool.main, capsys, config, '--work-dir', tmp_path / 'w', '--tensorboard')
    assert_one_sentence(done, 'tensorboard', 'requirements/optional.txt')
