"""Who runs a cell: a file in its folder, kept fresh by the process that runs it.

    <work_dir>/cells/<cell>/claim.json    host, process, since when; touched every BEAT_SECONDS

Matrices that share a work directory, on one machine or on several over a shared file system, share the work by these
files: a cell that a living process holds is left to it, one whose holder is gone is taken over. A holder on the same
machine is looked up by process number and start time, so it is known at once to be gone; one elsewhere is gone when
its file was not touched for STALE_SECONDS by the file system's own clock. A file is made by exclusive creation, which
shared file systems keep atomic where their locks may fail, and a claim that was left is taken away by one process at a
time, which makes another such file for that moment. Standard library alone.
"""

import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
ELSEWHERE = 75  # exit status of a cell that another process holds: EX_TEMPFAIL, "try again later"
FILE = 'claim.json'


@dataclass(frozen=True)
class Claim:
    """What a claim says.

    Attributes:
        token: Of this claim alone.
        host, pid, since: For a person who reads it.
        place: Machine, boot and space of process numbers; a number means something only there.
        processes: [number, start time] of the process that runs the cell and of the one that waits for it. While
            that one lives, what became of the cell is its to say.
        beat: When it was last touched, seconds by the file system's clock.
    """

    token: str = ''
    host: str = 'a process that is just starting'
    pid: int = 0
    since: str = ''
    place: str = ''
    processes: tuple = ()
    beat: float = 0.0

    def lives(self, now: float) -> bool:
        """Whether its holder runs, at `now` by the file system's clock."""
        if self.place == place():
            return any(runs(*process) for process in self.processes)
        return now - self.beat < STALE_SECONDS

    def __str__(self) -> str:
        return f'{self.host}, process {self.pid}, since {self.since}' if self.token else self.host


class Held:
    """A claim of this process, kept fresh by a thread until it is released.

    As a context: released at the end, except where an error leaves it and another process waits for this one; that
    one notes the failure first and then lets go, so that no third process runs the cell in between.
    """

    def __init__(self, path: Path, descriptor: int, waited_for: bool, on_loss: Callable[[], None]) -> None:
        self.path, self._descriptor, self._waited_for, self._on_loss = path, descriptor, waited_for, on_loss
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, daemon=True, name='claim')
        self._thread.start()

    def ours(self) -> bool:
        """Whether the file is still the one that this process made: a process that slept may have lost it."""
        try:
            there, mine = os.stat(self.path), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def release(self) -> None:
        """Let go; a claim that is another's by now stays."""
        self._end.set()
        self._thread.join()
        if self._descriptor >= 0:
            if self.ours():
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> 'Held':
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None or not self._waited_for:
            self.release()

    def _keep_fresh(self) -> None:
        misses = 0
        while not self._end.wait(BEAT_SECONDS):
            try:
                os.utime(self._descriptor)  # by descriptor: the claim of a successor is not touched
                misses = 0 if self.ours() else misses + 1
            except OSError:
                continue  # the file system is away for a while; the next beat tries again
            if misses == 2:  # one alone may be a file system that shows an old state for a moment
                self._on_loss()


def acquire(folder: str | Path, waited_for_by: int | None = None, on_loss: Callable[[], None] | None = None):
    """The claim on a cell's folder, or None where a living process holds it.

    Args:
        folder: Of the cell; made if it is absent.
        waited_for_by: Number of the process that waits for this one and notes how it ended.
        on_loss: Called when another process took the claim over; by default this process ends with ELSEWHERE, since
            two would do the same work.

    Returns:
        `Held` or None.
    """
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = [os.getpid()] + ([waited_for_by] if waited_for_by else [])
    said = {
        'token': uuid.uuid4().hex,
        'host': socket.gethostname(),
        'pid': os.getpid(),
        'since': datetime.now(timezone.utc).astimezone().isoformat(timespec='seconds'),
        'place': place(),
        'processes': [[number, start_time(number)] for number in numbers],
    }
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:
            if not _clear(path):
                return None
            continue
        try:
            os.write(descriptor, json.dumps(said).encode())
        except OSError:  # a full disk: without a word it would pass for a process that is just starting
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return Held(path, descriptor, waited_for_by is not None, on_loss or _leave)
    return None


def holder(folder: str | Path, now: float | None = None) -> Claim | None:
    """The claim of a living process on a cell's folder; None where nobody runs it.

    Args:
        folder: Of the cell, which may be absent.
        now: Time to judge by; None asks the file system for its own, which writes a file for a moment.
    """
    claim = _read(Path(folder) / FILE)
    if claim is None or not claim.lives(_clock(folder) if now is None else now):
        return None
    return claim


def drop(folder: str | Path, pid: int | None) -> None:
    """Take away the claim of a process of this machine that its parent has seen end."""
    path = Path(folder) / FILE
    claim = _read(path)
    if claim is not None and claim.place == place() and claim.pid == pid:
        path.unlink(missing_ok=True)


def _clear(path: Path) -> bool:
    """Take a claim away whose holder is gone; False where it lives, or another process is taking it away.

    Only one process at a time looks and removes: else one that looked before could remove the claim that a faster one
    has made since.
    """
    if not _is_left(path):
        return _read(path) is None
    turn = path.with_name(f'.{FILE}.taking')
    try:
        os.close(os.open(turn, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        if _age(turn) > STALE_SECONDS:  # its process was killed within these few lines
            turn.unlink(missing_ok=True)
        return False
    try:
        if not _is_left(path):
            return _read(path) is None
        path.unlink(missing_ok=True)
        return True
    finally:
        turn.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    """Whether a claim lies there whose holder is gone."""
    found = _read(path)
    return found is not None and not found.lives(_clock(path.parent))


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the file system's clock; 0 for none."""
    try:
        return _clock(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path) -> Claim | None:
    """What lies there; None for nothing. Opening it makes a network file system ask for its present state."""
    try:
        with open(path, 'rb') as file:
            text, beat = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    try:
        said = json.loads(text)
        return Claim(**said | {'processes': tuple(map(tuple, said['processes'])), 'beat': beat})
    except (ValueError, TypeError, KeyError):
        return Claim(beat=beat)  # its maker has not written yet, or was killed before it could


def _clock(folder: str | Path) -> float:
    """Time by the clock that stamps files in a folder, which may differ from this machine's."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix='.clock-') as file:
        os.utime(file.fileno())
        return os.fstat(file.fileno()).st_mtime


@functools.cache
def place() -> str:
    """Where process numbers of this process mean what they mean here: machine, boot and, in containers, namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path('/proc/sys/kernel/random/boot_id').read_text().strip())
        parts.append(os.readlink('/proc/self/ns/pid'))
    return ' '.join(parts)


def runs(pid: int, started: str | None = None) -> bool:
    """Whether this process runs: the number is there, is no zombie, and was not given to another since `started`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    found = start_time(pid)
    return found != 'ended' and (None in (found, started) or found == started)


def start_time(pid: int) -> str | None:
    """Start time of a process in ticks since boot; `ended` for a zombie; None where the system does not say."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    state, *rest = stat.rpartition(')')[2].split()  # the name before it may hold anything
    return 'ended' if state in 'ZX' else rest[18]


def _leave() -> None:
    print('claim: another process has taken this cell over; leaving it', file=sys.stderr, flush=True)
    os._exit(ELSEWHERE)
