"""A cell as a process: how to start it, how to tell how it ended, and what to keep if it failed.

<work_dir>/cells/<cell>/cell.log       output of its processes, one attempt after the other
<work_dir>/cells/<cell>/failed.json    why it failed; it runs again only with --retry-failed
<work_dir>/cells/<cell>/retried.json   the same, once the cell runs again
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO, Protocol

from eval.cells import claims
from eval.cells.cell import ResolvedCell
from eval.cells.claims import CHANGED
from eval.records import RecordError, read_record
from sigma.files import write_atomic

END_SECONDS = 30.0  # that a cell has to save after SIGTERM: a step, and its state
RUN_CELL = Path(__file__).resolve().parents[2] / 'run_cell.py'

# Someone asked the process to end. The cell did not fail, and continues in the next run.
STOPS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU}


@dataclass(frozen=True)
class Job:
    """Everything that another process, maybe on another machine, needs to run a cell: only strings and numbers.

    Attributes:
        cell: Fields of `eval.cells.cell.Cell` as JSON.
        folder, record: Paths of the cell's folder and record, under `work_dir`.
        imports: Modules or files that define user protocols.
        cwd: Folder that relative paths start from.
        attempts: How often the cell had failed when the plan was made.
        needs: Jobs whose cells must have their records first.
        encoder_flops: Operations of the encoder for one clip, for the record; None if the plan has not counted them.
    """

    name: str
    id: str
    cell: str
    folder: str
    record: str
    work_dir: str
    imports: tuple[str, ...] = ()
    cwd: str = '.'
    attempts: int = 0
    needs: tuple[Job, ...] = ()
    encoder_flops: int | None = None

    @property
    def log(self) -> Path:
        return Path(self.cwd, self.folder, 'cell.log')


def job_of(
    resolved: ResolvedCell,
    work_dir: str | Path,
    imports: Sequence[str] = (),
    attempts: int = 0,
    needs: tuple[Job, ...] = (),
) -> Job:
    """The job of a resolved cell."""
    return Job(
        name=resolved.name,
        id=resolved.id,
        cell=resolved.cell.to_json(),
        folder=str(resolved.folder(work_dir)),
        record=str(resolved.record_path(work_dir)),
        work_dir=str(work_dir),
        imports=tuple(imports),
        cwd=os.getcwd(),
        attempts=attempts,
        needs=needs,
        encoder_flops=resolved.encoder_flops,
    )


@dataclass(frozen=True)
class Failure:
    """Content of failed.json: exit status, reason, log, time, and number of attempts."""

    name: str
    id: str
    status: int
    reason: str
    log: str
    time: str
    attempts: int


@dataclass(frozen=True)
class Finished:
    """How a cell ended.

    Attributes:
        state: `done`; `failed` (kept in failed.json); `stopped` from outside or `changed` since the plan (the next run
            tries again); `blocked` (a cell that it needs has no record); `elsewhere` (another process runs it).
        reason: Why it is not done.
        seconds: Wall-clock seconds of its process; None if it did not run here.
    """

    job: Job
    state: str
    reason: str = ''
    seconds: float | None = None


# ------------------------------------------------------------------------------------------------- what is kept


def read_failure(folder: str | Path, name: str = 'failed.json') -> Failure | None:
    """The failure in a cell's folder, or None."""
    path = Path(folder) / name
    try:
        return Failure(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Failure('', '', 1, f'{path} cannot be read', str(path), '', 1)


def keep_failure(job: Job, status: int, reason: str) -> Failure:
    """Write failed.json; its attempts include the earlier ones."""
    folder = Path(job.cwd, job.folder)
    former = read_failure(folder) or read_failure(folder, 'retried.json')
    failure = Failure(
        name=job.name,
        id=job.id,
        status=status,
        reason=reason,
        log=str(Path(job.folder, 'cell.log')),
        time=datetime.now(timezone.utc).astimezone().isoformat(timespec='seconds'),
        attempts=1 + (former.attempts if former else 0),
    )
    write_atomic(folder / 'failed.json', (json.dumps(asdict(failure), indent=2) + '\n').encode())
    return failure


def prepare_retry(job: Job) -> None:
    """Move a failure aside: if the cell is killed during its next attempt, it then counts as not done."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(Path(job.cwd, job.folder, 'failed.json'), Path(job.cwd, job.folder, 'retried.json'))


def settled(job: Job) -> Finished | None:
    """How a cell ended, from its files; None if it has not ended."""
    path = Path(job.cwd, job.record)
    if path.is_file():
        with contextlib.suppress(RecordError):
            if read_record(path).cell['id'] == job.id:
                return Finished(job, 'done')
    failure = read_failure(Path(job.cwd, job.folder))
    if failure is not None and failure.attempts > job.attempts:
        return Finished(job, 'failed', failure.reason)
    return None


# -------------------------------------------------------------------------------------------------- its process


class Process(Protocol):
    """The part of `subprocess.Popen` that a cell's process must offer."""

    @property
    def pid(self) -> int | None: ...  # None until it has started

    @property
    def returncode(self) -> int | None: ...  # negative: the signal that ended it

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True)
class Running:
    """A cell's process, when it began, and the size of its log before that."""

    job: Job
    process: Process
    begun: float
    log_bytes: int


def start(job: Job, cores: int, device: str | None = None) -> Running:
    """Start the process of a cell; its output goes to the cell's log.

    Args:
        cores: Cores that it may use.
        device: Value of CUDA_VISIBLE_DEVICES; None leaves it as it is.
    """
    size = log_bytes(job)
    with open(job.log, 'ab') as file:
        process = subprocess.Popen(
            [sys.executable, str(RUN_CELL), *arguments_of(job)],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment_of(cores) | ({} if device is None else {'CUDA_VISIBLE_DEVICES': device}),
            cwd=job.cwd,
        )
    return Running(job, process, time.perf_counter(), size)


def arguments_of(job: Job) -> list[str]:
    """Command-line arguments of `eval/run_cell.py`."""
    more = [word for module in job.imports for word in ('--import', module)]
    if job.encoder_flops is not None:
        more += ['--encoder-flops', str(job.encoder_flops)]
    return ['--work-dir', job.work_dir, '--id', job.id, '--folder', job.folder, *more, job.cell]


def environment_of(cores: int) -> dict[str, str]:
    """Environment of a cell's process: how many cores it may use, and which process started it."""
    environment = os.environ | {'OMP_NUM_THREADS': str(cores), 'SIGMA_CELL_OF': str(os.getpid())}
    environment.setdefault('SIGMA_WORKERS', str(min(cores - 1, 8)))
    return environment


def log_bytes(job: Job) -> int:
    """Size of the log so far, in bytes; makes its folder."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    return job.log.stat().st_size if job.log.is_file() else 0


def conclude(running: Running) -> Finished:
    """Read how a process ended. A failure is written before another process can claim the cell."""
    job, status = running.job, running.process.returncode
    assert status is not None  # it has ended
    seconds = time.perf_counter() - running.begun
    folder = Path(job.cwd, job.folder)
    state, reason = _meaning(running)
    if state == 'failed':
        keep_failure(job, status, reason)
    elif state == 'done':
        for name in ('failed.json', 'retried.json'):
            (folder / name).unlink(missing_ok=True)
    claims.drop(folder, running.process.pid)
    return Finished(job, state, reason, seconds)


def end(running: Running) -> None:
    """Stop a cell's process; the cell is not done."""
    running.process.terminate()
    try:
        running.process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()
    claims.drop(Path(running.job.cwd, running.job.folder), running.process.pid)


def _meaning(running: Running) -> tuple[str, str]:
    """State and reason, from the exit status, the record and the last line of the log."""
    status, said = running.process.returncode, _last_line(running)
    assert status is not None  # it has ended
    if status == claims.ELSEWHERE:
        return 'elsewhere', ''
    if status == CHANGED:
        return 'changed', said
    found = settled(running.job)
    if found is not None and found.state == 'done':
        return 'done', ''  # the record is written last; how the process ended after that does not matter
    if status == 0:
        return 'failed', 'its process ended with status 0 but left no record'
    if -status in STOPS:
        return 'stopped', f'stopped from outside by {signal.Signals(-status).name}; run the same command to continue it'
    if -status == signal.SIGKILL:
        return 'failed', (
            'killed by SIGKILL, most likely because the machine ran out of memory (see dmesg): '
            'give it more, or run fewer cells in parallel (--jobs)'
        )
    if status < 0:
        return 'failed', f'its process died of {signal.Signals(-status).name}' + (f' after: {said}' if said else '')
    return 'failed', said or f'exit status {status} without any output'


def _last_line(running: Running) -> str:
    with open(running.job.log, 'rb') as file:
        return last_line(file, running.log_bytes)


def last_line(file: BinaryIO, begin: int = 0) -> str:
    """The last line that a process wrote after byte `begin`; empty if it wrote nothing."""
    file.seek(max(begin, file.seek(0, os.SEEK_END) - 100_000))
    lines = file.read().decode(errors='replace').strip().splitlines()
    return lines[-1].strip() if lines else ''
