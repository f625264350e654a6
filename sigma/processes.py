"""Work in several processes, and the progress bar beside it. Standard library and rich alone."""

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


@dataclass(frozen=True)
class ProcessDied:
    """Stands for a result when a job's process died: killed, or crashed in a library."""

    exit_code: int  # negative: the signal that ended it


_READY = 'ready'  # a worker's first word


def num_cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def in_processes(function: Callable, jobs: Iterable, workers: int | None = None) -> Iterator[tuple]:
    """Call `function(job)` for every job in separate processes, and yield (job, result) as they finish.

    A process that dies takes no other job with it. Its job is tried once more; if that dies too, the result is a
    ProcessDied. An exception in `function` ends the run and is raised here.

    Args:
        function: Importable by name; it and the jobs are pickled.
        workers: Processes; None takes one a CPU at hand.
    """
    context = multiprocessing.get_context('spawn')  # clean of the parent's threads and locks
    waiting = deque((job, 0) for job in jobs)
    workers = max(1, min(workers or num_cpus(), len(waiting)))
    crew, idle, busy, any_ready = {}, [], {}, False
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                pipe = idle.pop() if idle else _hire(context, function, crew)
                busy[pipe] = waiting.popleft()
                _send(pipe, busy[pipe][0])
            for pipe in connection.wait(list(busy)):
                job, num_deaths = busy[pipe]
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    exit_code = _dismiss(pipe, crew.pop(pipe))
                    del busy[pipe]
                    if not any_ready:
                        raise RuntimeError(
                            f'worker processes do not start (exit code {exit_code}): the main script must be a file, '
                            "its own calls under if __name__ == '__main__'"
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
                is_error, result = answer
                if is_error:
                    raise result
                yield job, result
    finally:
        for pipe, process in crew.items():
            process.terminate()
            _dismiss(pipe, process)


def _hire(context, function: Callable, crew: dict):
    pipe, far_end = context.Pipe()
    process = context.Process(target=_serve, args=(function, far_end), daemon=True)
    process.start()
    far_end.close()
    crew[pipe] = process
    return pipe


def _dismiss(pipe, process) -> int:
    pipe.close()
    process.join()
    return process.exitcode


def _send(pipe, job) -> None:
    with suppress(OSError):  # it died while idle: the reading end says so next
        pipe.send(job)


def _serve(function: Callable, pipe) -> None:
    """A worker's life: take a job, answer (is_error, result), until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    pipe.send(_READY)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (False, function(job))
        except Exception as error:
            answer = (True, error)
        pipe.send(answer)


@contextmanager
def progress_bar(text: str, total: int, show: bool = True) -> Iterator[Callable[[], None]]:
    """A bar on stderr with the time left; where stderr is no terminal, a plain line every ten seconds.

    Yields:
        A function to be called after each of the `total` steps.
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
