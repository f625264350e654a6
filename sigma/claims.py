"""Who works in a folder: a claim file there, which the running process keeps fresh.

    <folder>/claim.json    host, process, start time; touched every BEAT_SECONDS

A training claims its work directory, a cell of a matrix its own folder. Nobody touches a folder that a living process
holds. If the holder is gone, another process takes the folder over. On the same machine, the holder is looked up by
pid and start time, so its end shows at once. On another machine, it counts as gone when nothing has touched its file
for STALE_SECONDS, by the file system's own clock. Claim files are created exclusively: shared file systems keep this
atomic even where their locks fail. Only one process at a time removes an abandoned claim; a second such file guards
this. Needs only the standard library.
"""

import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sigma.errors import DataError

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
ELSEWHERE = 75  # exit status if another process holds the folder: EX_TEMPFAIL, "try again later"
FILE = 'claim.json'


@dataclass(frozen=True)
class Claim:
    """Content of a claim file.

    Attributes:
        token: Unique to this claim.
        host, pid, since: For human readers.
        place: Machine, boot and process-number namespace; process numbers are valid only there.
        processes: [pid, start time] of the process that works, and of the one that waits for it (a matrix for its
            cell). While the waiting one lives, it alone records how the work ended.
        beat: When the file was last touched, in seconds by the file system's clock.
    """

    token: str = ''
    host: str = 'a process that is just starting'
    pid: int = 0
    since: str = ''
    place: str = ''
    processes: tuple = ()
    beat: float = 0.0

    def lives(self, now: float) -> bool:
        """Whether the holder still runs; `now` is the time by the file system's clock."""
        if self.place == place():
            return any(runs(*process) for process in self.processes)
        return now - self.beat < STALE_SECONDS

    def __str__(self) -> str:
        return f'{self.host}, process {self.pid}, since {self.since}' if self.token else self.host


class Held:
    """A claim of this process, kept fresh by a thread until it is released.

    As a context manager it releases the claim at the end, with one exception: if an error ends the block and another
    process waits for this one, that process records the failure first and then removes the claim. So no third process
    can do the work in between.
    """

    def __init__(self, path: Path, descriptor: int, waited_for: bool, on_loss: Callable[[], None]) -> None:
        self.path, self._descriptor, self._waited_for, self._on_loss = path, descriptor, waited_for, on_loss
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, daemon=True, name='claim')
        self._thread.start()

    def ours(self) -> bool:
        """Whether the file is still the one that this process made; a suspended process may have lost it."""
        try:
            there, mine = os.stat(self.path), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def release(self) -> None:
        """Remove the claim, unless another process has taken it over."""
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
                continue  # the file system is unavailable; the next beat tries again
            if misses == 2:  # a single miss may be a file system that still shows an old state
                self._on_loss()


def acquire(
    folder: str | Path, waited_for_by: int | None = None, on_loss: Callable[[], None] | None = None
) -> Held | None:
    """Claim a folder; None if a living process holds it.

    Args:
        folder: Created if missing.
        waited_for_by: Pid of the process that waits for this one and records how it ended.
        on_loss: Called when another process has taken the claim over. By default this process then ends with status
            ELSEWHERE, since both would do the same work.

    Raises:
        OSError: if the file cannot be written.
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
        except OSError:  # a full disk; an empty file would look like a process that is just starting
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return Held(path, descriptor, waited_for_by is not None, on_loss or _leave)
    return None


def claim_or_refuse(folder: str | Path, what: str, say: Callable[[str], None]) -> Held:
    """Claim a folder for a process that nobody else could replace.

    A claim of another machine may be what a killed process left there. Its file tells within a minute: either it is
    touched again, or it is too old.

    Args:
        folder: As in `acquire`.
        what: What works there, such as `training`, for the sentences.
        say: Called with a sentence if this takes longer.

    Raises:
        DataError: if a living process holds it; names host, process and start.
    """
    first: Claim | None = None
    while (held := acquire(folder)) is None:
        found = holder(folder)
        if found is None:
            continue  # it was released meanwhile
        if found.place == place() or (first is not None and found.beat > first.beat):
            raise DataError(
                f'{folder} belongs to another {what} that is running ({found}); wait for it, or give another folder '
                'with --work-dir.'
            )
        if first is None or first.token != found.token:
            say(f'{folder} is claimed by {found}; waiting up to {STALE_SECONDS:.0f} s to see whether it still runs.')
            first = found
        time.sleep(1.0)
    return held


def holder(folder: str | Path, now: float | None = None) -> Claim | None:
    """The claim of a living process on a folder; None if nobody works there.

    Args:
        folder: May be missing.
        now: Current time in seconds; None asks the file system, which briefly writes a file.
    """
    claim = _read(Path(folder) / FILE)
    if claim is None or not claim.lives(_clock(folder) if now is None else now):
        return None
    return claim


def drop(folder: str | Path, pid: int | None) -> None:
    """Remove the claim of a process on this machine, for the parent that has seen it end."""
    path = Path(folder) / FILE
    claim = _read(path)
    if claim is not None and claim.place == place() and claim.pid == pid:
        path.unlink(missing_ok=True)


def _clear(path: Path) -> bool:
    """Remove a claim whose holder is gone; False if it lives, or another process is removing it.

    Only one process at a time checks and removes. Otherwise a slow one could remove the new claim of a faster one.
    """
    if not _is_left(path):
        return _read(path) is None
    turn = path.with_name(f'.{FILE}.taking')
    try:
        os.close(os.open(turn, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        if _age(turn) > STALE_SECONDS:  # a process was killed within these few lines
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
    """Whether the file is a claim whose holder is gone."""
    found = _read(path)
    return found is not None and not found.lives(_clock(path.parent))


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the file system's clock; 0 if there is no file."""
    try:
        return _clock(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path) -> Claim | None:
    """The claim in a file, or None. Opening the file makes a network file system fetch its current state."""
    try:
        with open(path, 'rb') as file:
            text, beat = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    try:
        said = json.loads(text)
        return Claim(**said | {'processes': tuple(map(tuple, said['processes'])), 'beat': beat})
    except (ValueError, TypeError, KeyError):
        return Claim(beat=beat)  # its process has not written yet, or was killed before it could


def _clock(folder: str | Path) -> float:
    """Current time by the clock that stamps files in this folder; it may differ from this machine's."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix='.clock-') as file:
        os.utime(file.fileno())
        return os.fstat(file.fileno()).st_mtime


@functools.cache
def place() -> str:
    """Where this process's process numbers are valid: machine, boot and, in containers, namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path('/proc/sys/kernel/random/boot_id').read_text().strip())
        parts.append(os.readlink('/proc/self/ns/pid'))
    return ' '.join(parts)


def runs(pid: int, started: str | None = None) -> bool:
    """Whether the process runs: the number exists, is no zombie, and was not reused since `started`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it belongs to another user
    found = start_time(pid)
    return found != 'ended' and (None in (found, started) or found == started)


def start_time(pid: int) -> str | None:
    """Start time of a process in ticks since boot; `ended` for a zombie; None if the system does not say."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    state, *rest = stat.rpartition(')')[2].split()  # the name before it may contain anything
    return 'ended' if state in 'ZX' else rest[18]


def _leave() -> None:
    print('claim: another process has taken over this folder; leaving it', file=sys.stderr, flush=True)
    os._exit(ELSEWHERE)
