"""Loaders that never wait for ever, and that work with little shared memory.

`watched(DataLoader(...))` is that loader with three differences. What is stuck or dead ends in one sentence, with the
file that was being read. Batches for which shared memory is too small travel through pipes, which is slower and always
works. Nothing else changes: not the samples, not their order, not the random numbers.

A data set says which file it reads with `with reading(path):`.
"""

from __future__ import annotations

import errno
import io
import logging
import mmap
import multiprocessing
import os
import pickle
import re
import signal
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils import worker

from sigma.errors import SigmaError
from sigma.processes import StuckWatch, stuck_seconds

STATUS = 1  # exit status of a process whose own reader is stuck
BUSY_FACTOR = 10  # one sample may keep its reader busy for this many times as long as it may stand still
SHARED_MEMORY = '/dev/shm'
_NO_SEMAPHORES = (errno.ENOSPC, errno.ENOENT, errno.ENOSYS, errno.EACCES, errno.EROFS, errno.EPERM)
SPARE_BYTES = 1 << 20  # of shared memory, for semaphores and small tensors


class LoaderError(SigmaError):
    """A loader that cannot go on: a process of it died or is stuck, or a batch got lost."""


def watched(loader: DataLoader) -> DataLoader:
    """The same loader, but it never waits for ever.

    A reader is stuck when it makes no progress for `SIGMA_STUCK_SECONDS` (default 45), or is busy with one sample for
    ten times as long (`sigma.processes.StuckWatch`). Without worker processes, nothing can interrupt it: a thread then
    prints the sentence and ends this process with status 1.

    Raises:
        LoaderError: from the iteration, when a worker died or is stuck, or there is no shared memory at all.
    """
    if not isinstance(loader, WatchedLoader):
        loader.__class__ = WatchedLoader  # mmengine builds a plain DataLoader and offers no way to name another class
    return loader


class WatchedLoader(DataLoader):
    """See `watched`."""

    def __iter__(self) -> Any:  # an iterator; torch names its own private class
        """Batches, as of the plain loader."""
        if self.num_workers == 0:
            with watching_this_process():
                yield from super().__iter__()
            return
        if not self._forks():
            yield from super().__iter__()  # workers that do not share our memory: torch notices those that die
            return
        board = self._prepare()
        try:
            batches = super().__iter__()
        except OSError as error:
            if error.errno not in _NO_SEMAPHORES:
                raise
            raise LoaderError(
                f'No process of the loader can start, since {SHARED_MEMORY} cannot be used ({error.strerror}); give '
                'the container shared memory (docker run --shm-size=1g), or set num_workers=0.'
            ) from None
        board.workers = getattr(batches, '_workers', ())
        while True:
            try:
                batch = _next(batches, board)
            except StopIteration:
                return
            yield _unpacked(batch)

    def _forks(self) -> bool:
        context = self.multiprocessing_context or multiprocessing
        return context.get_start_method() == 'fork'

    def _prepare(self) -> _Board:
        """Set what the workers need; with persistent workers only before the first iteration."""
        board: _Board | None = self.__dict__.get('_board')
        if board is None or not self.persistent_workers:
            if not isinstance(self.collate_fn, _Packing):
                self.collate_fn = _Packing(self.collate_fn, self.num_workers)
                self._inner_init = self.worker_init_fn
            board = self._board = _Board(self.num_workers)
            self.worker_init_fn = partial(_begin_worker, board, self._inner_init)
            self.timeout = StuckWatch(stuck_seconds()).seconds_between_looks
        return board


def _next(batches: Iterator, board: _Board) -> Any:
    """The next batch, however late it is, unless it will never come."""
    watch = StuckWatch(stuck_seconds())
    busy = StuckWatch(float('inf'), BUSY_FACTOR * watch.seconds)
    while True:
        try:
            return next(batches)
        except RuntimeError as error:
            if 'timed out after' in str(error):
                said = board.why_late(watch, busy)
            else:
                said = explain(error)
                if said is None:
                    raise
            if said is not None:
                board.end_all()
                _shut_down(batches)
                raise LoaderError(said) from None


def _shut_down(batches: Any) -> None:
    """Take leave of workers that were killed, which torch would otherwise report as one more error, later."""
    if not getattr(batches, '_pin_memory', True):  # its thread may wait for what a killed worker wanted to say
        with suppress(RuntimeError, AttributeError):
            batches._shutdown_workers()


def explain(error: RuntimeError) -> str | None:
    """The sentence for a worker that died, if this error of torch tells of one; it may come up anywhere in a step."""
    text = str(error)
    if text.startswith('Caught ') or 'DataLoader worker' not in text:
        return None  # an error of a sample, or of something else
    return _death(text)


# --- what a process is reading -------------------------------------------------------------------------------------

_SLOT = struct.Struct('<qqH')  # pid, number of the sample (0: none), bytes of the path
_SLOT_BYTES = 1024
_desk: _Desk | None = None  # of this process, if somebody watches it
_boards: weakref.WeakSet[_Board] = weakref.WeakSet()


class _Board:
    """Shared by a loader and its forked workers: who is reading what. One slot for each worker."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self.memory = mmap.mmap(-1, num_slots * _SLOT_BYTES)  # not in /dev/shm, which may be full
        self.workers: Sequence = ()  # processes, for their exit status
        _boards.add(self)

    def write(self, slot: int, pid: int, number: int, path: str) -> None:
        """Note that a process reads its sample of this number from `path`."""
        name = path.encode(errors='surrogateescape')[-(_SLOT_BYTES - _SLOT.size) :]
        at = slot * _SLOT_BYTES
        self.memory[at + _SLOT.size : at + _SLOT.size + len(name)] = name
        _SLOT.pack_into(self.memory, at, pid, number, len(name))

    def read(self, slot: int) -> tuple[int, int, str]:
        """Pid (0: it has not started), number of the sample and path (empty: it reads nothing)."""
        at = slot * _SLOT_BYTES
        pid, number, length = _SLOT.unpack_from(self.memory, at)
        name = self.memory[at + _SLOT.size : at + _SLOT.size + length].decode(errors='surrogateescape')
        return pid, number, name if number else ''

    def slots(self) -> list[tuple[int, int, str]]:
        """All slots, as `read` gives them."""
        return [self.read(slot) for slot in range(self.num_slots)]

    def why_late(self, watch: StuckWatch, busy: StuckWatch) -> str | None:
        """The sentence for a batch that will never come; None if it may still come. Call it while a batch is late.

        All workers are looked at: the others have nothing to do while the batch of one that is stuck is waited for.
        """
        slots = [slot for slot in self.slots() if slot[0]]
        still = [(watch.look(pid, 'a batch is late'), path) for pid, _, path in slots]
        long = [(busy.look(pid, number), path) for pid, number, path in slots if number]
        if len(slots) == self.num_slots and all(seconds for seconds, _ in still):
            seconds = min(seconds for seconds, _ in still)
            paths = [path for _, path in still if path]
            return _stuck(paths, seconds) if paths else _lost(seconds)
        seconds, path = max(long, default=(0.0, ''))
        return _stuck([path], seconds) if seconds else None

    def end_all(self) -> None:
        """Kill the workers: one that is stuck in a library would not end by SIGTERM, and its loader waits for it."""
        for pid, _, _ in self.slots():
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class _Desk:
    """The slot of this process."""

    def __init__(self, board: _Board, slot: int) -> None:
        self.board, self.slot, self.count, self.pid = board, slot, 0, os.getpid()
        board.write(slot, self.pid, 0, '')


def _begin_worker(board: _Board, then: Callable | None, worker_id: int) -> None:
    global _desk
    _desk = _Desk(board, worker_id)
    if then is not None:
        then(worker_id)


@contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Say that this process reads a file inside the block, for whoever watches it."""
    desk = _desk
    if desk is None or desk.pid != os.getpid():  # nobody watches, or a fork of a process that is watched
        yield
        return
    desk.count += 1
    desk.board.write(desk.slot, desk.pid, desk.count, os.fspath(path))
    try:
        yield
    finally:
        desk.board.write(desk.slot, desk.pid, 0, '')


def each_read(path: str | os.PathLike, items: Iterator) -> Iterator:
    """The items of an iterator that reads a file of its own; while it makes one, this process counts as reading."""
    with watching_this_process():
        while True:
            with reading(path):
                item = next(items, None)
            if item is None:
                return
            yield item


@contextmanager
def watching_this_process() -> Iterator[None]:
    """Inside the block, a thread ends this process if it is stuck in `reading`."""
    global _desk
    former = _desk
    if former is not None and former.pid == os.getpid():  # an outer loop watches already
        yield
        return
    board, done = _Board(1), threading.Event()
    watch = StuckWatch(stuck_seconds(), BUSY_FACTOR * stuck_seconds())
    _desk = _Desk(board, 0)
    threading.Thread(target=_watch_this_process, args=(board, watch, done), daemon=True, name='reading').start()
    try:
        yield
    finally:
        done.set()
        _desk = former


def _watch_this_process(board: _Board, watch: StuckWatch, done: threading.Event) -> None:
    while not done.wait(watch.seconds_between_looks):
        pid, number, path = board.read(0)
        if not path:
            watch.forget(pid)
        elif seconds := watch.look(pid, number):
            print(_stuck([path], seconds), file=sys.stderr, flush=True)
            os._exit(STATUS)


# --- sentences -----------------------------------------------------------------------------------------------------


def _stuck(paths: list[str], seconds: float) -> str:
    more = f' (and {len(paths) - 1} others)' if len(paths) > 1 else ''
    return (
        f'{paths[0]}{more}: its reader is stuck, with no frame for {seconds:.0f} s. Read the videos again with '
        'tools/prepare.py, which leaves out a file that hangs its decoder, or use another decoder (sigma.OpenVideo). '
        'If the disk is this slow, raise SIGMA_STUCK_SECONDS.'
    )


def _lost(seconds: float) -> str:
    megabytes = free_shared_memory() / 2**20
    return (
        f'A batch of the loader is lost: its processes have had nothing to do for {seconds:.0f} s. {SHARED_MEMORY} has '
        f'{megabytes:.0f} MB free; run again with num_workers=0, or give the container more shared memory '
        '(docker run --shm-size=8g).'
    )


_PIDS = re.compile(r'\(pid(?:\(s\))? ([\d, ]+)\)')
_REMEDIES = {
    signal.SIGKILL: 'often means out of memory: lower num_workers or the batch size',
    signal.SIGBUS: f'often means that shared memory ({SHARED_MEMORY}) is full: set num_workers=0, or give the '
    'container more (docker run --shm-size=8g)',
    signal.SIGSEGV: 'means that a library crashed: run tools/prepare.py on the videos again, or use another decoder',
}


def _death(text: str) -> str:
    """The sentence for a worker that died, from torch's message, which names the process and maybe the signal."""
    named = _PIDS.search(text)
    pid = int(named[1].split(',')[0]) if named else 0
    path = next((path for board in _boards for number, _, path in board.slots() if number == pid), '')
    where = f' while it read {path}' if path else ''
    status = _status_of(pid, text)
    if status is None or status >= 0:
        return f'Process {pid} of the loader has ended{where}, with status {status}; its output says why.'
    ended = signal.Signals(-status)
    remedy = f', which {_REMEDIES[ended]}' if ended in _REMEDIES else ''
    return f'Process {pid} of the loader was ended by {ended.name}{where}{remedy}.'


def _status_of(pid: int, text: str) -> int | None:
    """Exit status of a worker: minus the signal that ended it; None if nobody knows."""
    for ended in signal.Signals:
        if f'killed by signal: {signal.strsignal(ended)}' in text:
            return -ended
    workers = [worker for board in _boards for worker in board.workers if worker.pid == pid]
    return workers[0].exitcode if workers else None


# --- shared memory -------------------------------------------------------------------------------------------------


def free_shared_memory() -> int:
    """Bytes free in /dev/shm; 0 if there is none."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def batch_bytes(batch: Any) -> int:
    """Bytes of the tensors and arrays in nested dicts, lists and tuples."""
    if isinstance(batch, torch.Tensor | np.ndarray):
        return batch.nbytes
    if isinstance(batch, dict):
        return sum(map(batch_bytes, batch.values()))
    return sum(map(batch_bytes, batch)) if isinstance(batch, list | tuple) else 0


@dataclass(frozen=True)
class _Parcel:
    """A batch as bytes, which a queue sends through its pipe; tensors would go through shared memory."""

    data: bytes
    num_bytes: int
    free: int


class _Packing:
    """A collate function that packs a batch, in a worker, if shared memory is too small for it."""

    def __init__(self, collate: Callable, num_workers: int) -> None:
        self.collate = collate
        # All workers of all processes may put a batch there at the same moment, beside those that wait to be taken.
        self.at_once = 2 * num_workers * int(os.environ.get('LOCAL_WORLD_SIZE', '1'))

    def __call__(self, samples: Any) -> Any:
        if get_worker_info() is None:
            return self.collate(samples)
        num_bytes, free = batch_bytes(samples), free_shared_memory()
        if self.at_once * num_bytes + SPARE_BYTES <= free:
            return self.collate(samples)
        with _as_if_no_worker():
            return _Parcel(_packed(self.collate(samples)), num_bytes, free)


@contextmanager
def _as_if_no_worker() -> Iterator[None]:
    """Inside the block, torch's own collate function stacks tensors in plain memory; in a worker it takes shared."""
    former, worker._worker_info = worker._worker_info, None
    try:
        yield
    finally:
        worker._worker_info = former


class _Pickler(pickle.Pickler):
    """Tensors as numpy arrays: torch pickles storages several times slower."""

    def reducer_override(self, found: Any) -> Any:
        if type(found) is torch.Tensor and not found.requires_grad and found.device.type == 'cpu':
            with suppress(TypeError):  # numpy has no bfloat16
                return torch.from_numpy, (found.contiguous().numpy(),)
        return NotImplemented


def _packed(batch: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(batch)
    return buffer.getvalue()


_has_said = False


def _unpacked(batch: Any) -> Any:
    """The batch that a worker sent; the first parcel is told aloud."""
    global _has_said
    if not isinstance(batch, _Parcel):
        return batch
    if not _has_said and os.environ.get('LOCAL_RANK', '0') == '0':
        print_log(
            f'Shared memory is short: {SHARED_MEMORY} has {batch.free / 2**20:.0f} MB free and a batch takes '
            f'{batch.num_bytes / 2**20:.1f} MB, so batches come through pipes, which is slower. For full speed give '
            'the container more (docker run --shm-size=8g), or lower num_workers or the batch size.',
            'current',
            logging.WARNING,
        )
    _has_said = True
    return pickle.loads(batch.data)  # made by a process of our own
