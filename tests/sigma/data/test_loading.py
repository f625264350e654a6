"""Loaders never wait for ever: readers that hang, processes that die, shared memory that is too small."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from sigma.data import loading
from sigma.data.loading import LoaderError, reading, watched
from tests.conftest import PATIENCE, ROOT

SOON = 60 * PATIENCE  # a bound for what would otherwise never end


class Clips(Dataset):
    """Twelve numbers, each from a file of its own; `act` happens while file7.mp4 is read."""

    def __init__(self, act=lambda: None) -> None:
        self.act = act

    def __len__(self) -> int:
        return 12

    def __getitem__(self, number: int) -> torch.Tensor:
        with reading(f'file{number}.mp4'):
            if number == 7:
                self.act()
            return torch.full((1000,), number)


def sleep_for_ever() -> None:
    time.sleep(10**6)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv('SIGMA_STUCK_SECONDS', '1')


def batches(act=lambda: None, **options) -> list:
    return list(watched(DataLoader(Clips(act), 2, num_workers=2, **options)))


def test_a_watched_loader_gives_what_the_plain_one_gives():
    for workers, lasting in [(0, False), (2, False), (2, True)]:
        plain = DataLoader(Clips(), 2, num_workers=workers, persistent_workers=lasting)
        wanted = list(plain)
        loader = watched(DataLoader(Clips(), 2, num_workers=workers, persistent_workers=lasting))
        assert watched(loader) is loader
        for _ in range(2):
            assert all(torch.equal(a, b) for a, b in zip(loader, wanted, strict=True))


def test_a_reader_that_hangs_ends_in_a_sentence_with_its_file(impatient):
    begun = time.monotonic()
    with pytest.raises(LoaderError, match=r'^file7\.mp4: its reader is stuck.*tools/prepare\.py'):
        batches(sleep_for_ever)
    assert time.monotonic() - begun < SOON


def test_a_slow_reader_that_works_is_waited_for(impatient):
    def work() -> None:
        begun = time.process_time()
        while time.process_time() - begun < 1.5:
            pass

    assert len(batches(work)) == 6


def test_a_reader_that_is_busy_for_too_long_is_stuck_too(impatient, monkeypatch):
    monkeypatch.setattr(loading, 'BUSY_FACTOR', 2)

    def spin() -> None:
        while True:
            pass

    with pytest.raises(LoaderError, match=r'^file7\.mp4: its reader is stuck'):
        batches(spin)


@pytest.mark.parametrize(
    ('number', 'words'),
    [
        (signal.SIGKILL, ('ended by SIGKILL', 'out of memory', 'num_workers')),
        (signal.SIGBUS, ('ended by SIGBUS', 'shared memory', '--shm-size')),
        (signal.SIGSEGV, ('ended by SIGSEGV', 'crashed', 'tools/prepare.py')),
    ],
)
def test_a_process_that_dies_is_named_with_its_file_and_the_remedy(number, words, capfd):
    with pytest.raises(LoaderError) as caught:
        batches(lambda: os.kill(os.getpid(), number))
    for word in (*words, 'while it read file7.mp4'):
        assert word in str(caught.value)
    assert 'Exception ignored' not in capfd.readouterr().err


def test_a_process_that_leaves_without_a_word_is_noticed(impatient):
    with pytest.raises(LoaderError, match='has ended while it read file7.mp4, with status 5'):
        batches(lambda: os._exit(5))


def test_a_batch_that_got_lost_is_noticed(impatient, monkeypatch):
    from multiprocessing import queues

    monkeypatch.setattr(queues.Queue, '_on_queue_feeder_error', staticmethod(lambda error, item: None))

    class Unsendable:
        def __reduce__(self):
            raise RuntimeError('unable to write: no space')  # what torch raises in a thread of the worker

    monkeypatch.setattr(Clips, '__getitem__', lambda clips, number: Unsendable())
    loader = watched(DataLoader(Clips(), 2, num_workers=1, collate_fn=list))
    with pytest.raises(LoaderError, match=r'batch of the loader is lost.*num_workers=0.*--shm-size'):
        list(loader)


def test_errors_of_samples_stay_what_they_are():
    def fail() -> None:
        raise RuntimeError('DataLoader worker: my own')

    with pytest.raises(RuntimeError, match='Caught RuntimeError'):
        batches(fail)


@pytest.mark.integration
def test_without_processes_the_program_ends_with_the_sentence(tmp_path):
    script = tmp_path / 'hang.py'
    script.write_text(
        'from torch.utils.data import DataLoader\n'
        'from sigma.data.loading import watched\n'
        'from tests.sigma.data.test_loading import Clips, sleep_for_ever\n'
        'list(watched(DataLoader(Clips(sleep_for_ever), 2)))\n'
    )
    env = os.environ | {'SIGMA_STUCK_SECONDS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], env=env, capture_output=True, text=True, check=False, timeout=100 * PATIENCE
    )
    assert done.returncode == loading.STATUS
    assert done.stderr.startswith('file7.mp4: its reader is stuck')
    assert len(done.stderr.splitlines()) == 1


# --- shared memory ---


def test_batches_travel_through_pipes_where_shared_memory_is_short(monkeypatch):
    said = []
    monkeypatch.setattr(loading, '_has_said', False)
    monkeypatch.setattr(loading, 'print_log', lambda text, *_: said.append(text))
    wanted = batches()
    assert said == []
    monkeypatch.setattr(loading, 'free_shared_memory', lambda: loading.SPARE_BYTES + 4 * 16_000 - 1)
    found = batches()
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(tensor.is_shared() is False for tensor in found)
    (sentence,) = said  # once
    assert '--shm-size' in sentence
    monkeypatch.setattr(loading, 'free_shared_memory', lambda: loading.SPARE_BYTES + 4 * 16_000)
    assert all(tensor.is_shared() for tensor in batches())


class Several(IterableDataset):
    def __iter__(self):
        yield {'a': [torch.ones(3), 'text'], 'b': torch.ones(2, dtype=torch.bfloat16), 'c': None}


def test_any_batch_fits_into_a_parcel(monkeypatch):
    monkeypatch.setattr(loading, 'free_shared_memory', lambda: 0)
    (found,) = watched(DataLoader(Several(), batch_size=None, num_workers=1))
    assert torch.equal(found['a'][0], torch.ones(3))
    assert found['a'][1:] == ['text']
    assert torch.equal(found['b'], torch.ones(2, dtype=torch.bfloat16))
    assert found['c'] is None


def test_bytes_of_nested_batches():
    batch = {'inputs': [torch.zeros(5, dtype=torch.uint8)], 'more': (torch.zeros(2), 'text', None)}
    assert loading.batch_bytes(batch) == 5 + 8


def with_shared_memory(size: str, *command: object, **env) -> subprocess.CompletedProcess:
    """Run a command with a /dev/shm of this size; skip the test where nobody may mount one."""
    probe = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /dev/shm']
    try:
        may = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        may = False
    if not may:
        pytest.skip('needs the right to mount a small /dev/shm (root, unshare)')
    text = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    return subprocess.run(
        ['unshare', '--mount', 'sh', '-c', text, 'sh', *map(str, command)],
        cwd=ROOT,
        env=os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=200 * PATIENCE,
    )


PLAIN = """
import sys, torch
from torch.utils.data import DataLoader
from sigma.data.loading import watched, LoaderError
from tests.sigma.data.test_loading import Clips
class Large(Clips):
    def __getitem__(self, number): return torch.full((1 << 20,), number, dtype=torch.uint8)
try:
    found = [int(batch.double().mean() * 2) for batch in watched(DataLoader(Large(), 2, num_workers=2))]
    print(found)
except LoaderError as error:
    print(error)
"""


@pytest.mark.integration
@pytest.mark.parametrize('size', ['2m', '64k'])
def test_a_small_shared_memory_is_enough(size):
    """Batches of 2 MB: with the plain loader the processes die or wait for ever."""
    done = with_shared_memory(size, sys.executable, '-c', PLAIN)
    assert done.returncode == 0, done.stderr
    assert '[1, 5, 9, 13, 17, 21]' in done.stdout, done.stdout + done.stderr
    assert 'Shared memory is short' in done.stdout + done.stderr


@pytest.mark.integration
def test_no_shared_memory_at_all_is_said():
    done = with_shared_memory('4k', 'sh', '-c', 'head -c 4096 /dev/zero > /dev/shm/full; exec "$@"', 'sh', sys.executable, '-c', PLAIN)  # fmt: skip  # noqa: E501
    assert done.returncode == 0, done.stderr
    assert 'num_workers=0' in done.stdout
    assert '/dev/shm cannot be used' in done.stdout
