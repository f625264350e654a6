"""A pool of processes, and a progress bar. Needs only the standard library and rich.

docs/design.md, "Libraries that were tried", says why this is not a library's pool.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any


@dataclass(frozen=True)
class ProcessDied:
    """The result of a job whose process died: it was killed, or a library crashed."""

    exit_code: int  # negative: minus the signal that ended it


_READY = 'ready'  # the first message of every worker


def num_cpus() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def in_processes(function: Callable, jobs: Iterable, workers: int | None = None) -> Iterator[tuple]:
    """Call `function(job)` for every job in worker processes. Yields (job, result) pairs as jobs finish.

    A worker that dies takes no other job with it. Its own job is tried once more. If that attempt dies too, the result
    is a ProcessDied. Closing the iterator, or Ctrl-C, ends all workers.

    Args:
        function: Must be importable by name. The function, the jobs and the results are pickled.
        jobs: One argument each.
        workers: Number of processes (default: one per CPU, at most one per job).

    Raises:
        Exception: whatever `function` raises. The run ends there.
        RuntimeError: if no worker can start, e.g. because the main script is read from standard input.
    """
    context = multiprocessing.get_context('spawn')  # a fork would inherit the parent's threads and locks
    waiting = deque((job, 0) for job in jobs)
    workers = max(1, min(workers or num_cpus(), len(waiting)))
    crew: dict[Connection, BaseProcess] = {}
    idle: list[Connection] = []
    busy: dict[Connection, tuple] = {}  # worker -> its job, and how many workers have died on it
    any_ready = False
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                pipe = idle.pop() if idle else _hire(context, function, crew)
                busy[pipe] = waiting.popleft()
                _send(pipe, busy[pipe][0])
            ready: list[Any] = connection.wait(list(busy))
            for pipe in ready:
                job, num_deaths = busy[pipe]
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    exit_code = _dismiss(pipe, crew.pop(pipe))
                    del busy[pipe]
                    if not any_ready:
                        raise RuntimeError(
                            f'Worker processes cannot start (exit code {exit_code}). The main script must be a file '
                            "that makes its own calls under if __name__ == '__main__'."
                        ) from None
                    if num_deaths:
                        yield job, ProcessDied(exit_code)
                    else:
                        waiting.append((job, num_deaths + 1))
                    continue
                if answer == _READY:
                    any_ready = True
                    continue
                del busy[pipe]
                idle.append(pipe)
                is_error, result = answer  # (True, exception) or (False, result)
                if is_error:
                    raise result
                yield job, result
    finally:
        for pipe, process in crew.items():
            process.terminate()
            _dismiss(pipe, process)


def _hire(context, function: Callable, crew: dict[Connection, BaseProcess]) -> Connection:
    pipe, far_end = context.Pipe()
    process = context.Process(target=_serve, args=(function, far_end), daemon=True)
    process.start()
    far_end.close()
    crew[pipe] = process
    return pipe


def _dismiss(pipe: Connection, process: BaseProcess) -> int:
    pipe.close()
    process.join()
    assert process.exitcode is not None  # it was joined
    return process.exitcode


def _send(pipe: Connection, job: Any) -> None:
    with suppress(OSError):  # the worker died while idle: the next read reports it
        pipe.send(job)


def _serve(function: Callable, pipe: Connection) -> None:
    """Main loop of a worker: receive a job, send (is_error, result), until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends the workers
    pipe.send(_READY)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = False, function(job)
        except Exception as error:
            answer = True, error
        pipe.send(answer)


@contextmanager
def progress_bar(text: str, total: int, show: bool = True) -> Iterator[Callable[[], None]]:
    """Show progress on stderr with the time left: a bar in a terminal, else a plain line every ten seconds.

    Args:
        text: What is being done.
        total: Number of steps.
        show: False shows nothing.

    Yields:
        A function to call after each step.
    """
    if not show or total == 0:
        yield lambda: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(text, total=total)
            yield lambda: bar.advance(task)
    else:
        yield _plain_progress(text, total)


def _plain_progress(text: str, total: int, every_seconds: float = 10.0) -> Callable[[], None]:
    start = last = time.monotonic()
    done = 0

    def advance() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if done == total or now - last >= every_seconds:
            last = now
            left = (now - start) / done * (total - done)
            took = f'{now - start:.0f} s' if done == total else f'about {left:.0f} s left'
            print(f'{text}: {done}/{total}, {took}', file=sys.stderr, flush=True)

    return advance
