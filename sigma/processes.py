"""A pool of processes, what is stuck among them, and a progress bar. Needs only the standard library and rich.

docs/design.md, "Libraries that were tried", says why this is not a library's pool.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sigma.errors import DataError


@dataclass(frozen=True)
class ProcessDied:
    """The result of a job whose process died: it was killed, or a library crashed.

    Attributes:
        exit_code: Negative: minus the signal that ended it.
        stuck_seconds: How long it had made no progress when it was ended for that; 0 if it died by itself.
    """

    exit_code: int
    stuck_seconds: float = 0.0


STUCK_SECONDS = (
    45.0  # without processor time, in one piece of work: seen within a minute; the environment can change it
)
STUCK_VARIABLE = 'SIGMA_STUCK_SECONDS'
LEAST_SHARE = 0.01  # of the time in one processor: whoever uses less stands still
_READY = 'ready'  # the first message of every worker


def num_cpus() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def stuck_seconds() -> float:
    """After how many seconds without progress a process counts as stuck: `SIGMA_STUCK_SECONDS`, 45 by default.

    Raises:
        DataError: if the variable is not a positive number.
    """
    text = os.environ.get(STUCK_VARIABLE, '')
    try:
        seconds = float(text) if text else STUCK_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float('inf'):
        raise DataError(f'{STUCK_VARIABLE} is {text!r}; it must be a positive number of seconds.')
    return seconds


class StuckWatch:
    """Tells whether processes are stuck, each in its piece of work.

    A process is stuck if it uses less than a hundredth of a processor for `seconds`: it waits for a lock that nobody
    opens, or for a disk that does not answer. One that works on the same piece for `busy_seconds` counts as stuck too.
    Call `look` every few seconds. After a longer break (the machine slept, a user stopped the program), the clock
    starts again.
    """

    def __init__(self, seconds: float, busy_seconds: float = float('inf')) -> None:
        self.seconds, self.busy_seconds = seconds, busy_seconds
        self._seen: dict[int, tuple] = {}  # pid -> piece, when it began, when it last moved, its time then, last look

    def look(self, pid: int, piece: Hashable) -> float:
        """For how long this process has been stuck in this piece of work, in seconds; 0 if it is not stuck."""
        now = time.monotonic()
        used, wants_more = processor_use(pid)
        former, began, moved, used_then, looked = self._seen.get(pid, (None, now, now, used, now))
        if piece != former or now - looked > max(5.0, self.seconds):
            began = moved = now
            used_then = used
        elif wants_more or used - used_then >= LEAST_SHARE * self.seconds:
            moved, used_then = now, used
        self._seen[pid] = piece, began, moved, used_then, now
        if now - moved >= self.seconds:
            return now - moved
        return now - began if now - began >= self.busy_seconds else 0.0

    def forget(self, pid: int) -> None:
        """Drop what is known of a process that has ended or has nothing to do."""
        self._seen.pop(pid, None)

    @property
    def seconds_between_looks(self) -> float:
        """How often to look, so that a stuck process is found soon after `seconds`."""
        return min(5.0, self.seconds / 4)


def processor_use(pid: int) -> tuple[float, bool]:
    """Processor time that a process has used, in seconds, and whether it would use more now.

    Where the system does not say, (0, True): then only `busy_seconds` finds what is stuck.
    """
    try:
        state, *fields = Path(f'/proc/{pid}/stat').read_text(errors='replace').rpartition(')')[2].split()
        return (int(fields[10]) + int(fields[11])) / os.sysconf('SC_CLK_TCK'), state == 'R'
    except (OSError, IndexError, ValueError):
        return 0.0, True


def in_processes(
    function: Callable,
    jobs: Iterable,
    workers: int | None = None,
    *,
    busy_seconds: float = float('inf'),
) -> Iterator[tuple]:
    """Call `function(job)` for every job in worker processes. Yields (job, result) pairs as jobs finish.

    A worker that dies takes no other job with it. Its own job is tried once more. If that attempt dies too, the result
    is a ProcessDied. A worker that is stuck in a job (`StuckWatch`, `SIGMA_STUCK_SECONDS`) is killed, and the result of
    this job is a ProcessDied at once. Closing the iterator, or Ctrl-C, ends all workers.

    Args:
        function: Must be importable by name. The function, the jobs and the results are pickled.
        jobs: One argument each.
        workers: Number of processes (default: one per CPU, at most one per job).
        busy_seconds: A worker that is busy with one job for longer is stuck too. By default a job may take any time.

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
    watch = StuckWatch(stuck_seconds(), busy_seconds)
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                pipe = idle.pop() if idle else _hire(context, function, crew)
                busy[pipe] = waiting.popleft()
                _send(pipe, busy[pipe][0])
            ready: list[Any] = connection.wait(list(busy), watch.seconds_between_looks)
            for pipe in [pipe for pipe in busy if pipe not in ready]:
                if seconds := watch.look(crew[pipe].pid or 0, id(busy[pipe])):
                    process = crew.pop(pipe)
                    process.kill()  # a handler of SIGTERM would wait for the library that is stuck
                    job, _ = busy.pop(pipe)
                    yield job, ProcessDied(_dismiss(pipe, process), seconds)
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
                watch.forget(crew[pipe].pid or 0)
                idle.append(pipe)
                is_error, result = answer  # (True, exception) or (False, result)
                if is_error:
                    raise result
                yield job, result
    finally:
        for pipe, process in crew.items():
            process.kill()  # SIGTERM does not end a process that is stopped
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
