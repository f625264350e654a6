"""How a run of the matrix ends: its table, what has no record and why, the command that goes on, and states to drop."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from eval.cells import claims
from eval.matrix.executors.job import Finished, Job, read_failure
from eval.matrix.executors.schedule import Watcher
from eval.matrix.plan import Plan, Planned
from eval.records import Record, RecordError, read_record

STATES = ('*.safetensors', 'last_checkpoint')  # in a cell's folder: trained weights, and what a run goes on from


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP told this process to end. It unwinds like Ctrl-C.

    Attributes:
        signal: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Inside the block, SIGTERM and SIGHUP raise `Stopped`, so that cells end and the table so far is printed."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def status_of(stop: KeyboardInterrupt) -> int:
    """Exit status after an interrupt: 128 + the signal's number."""
    return 128 + (stop.signal if isinstance(stop, Stopped) else signal.SIGINT)


def told_stop(stop: KeyboardInterrupt, found: Plan, work_dir: str, words: Sequence[str]) -> str:
    """What stopped the run, how much is done, and the command that goes on."""
    by = stop.signal.name if isinstance(stop, Stopped) else 'Ctrl-C'
    done = sum(record_of(item, work_dir) is not None for item in found.cells)
    return (
        f'stopped by {by}: {done} of {len(found.cells)} cells have their records, and the cells that ran were ended. '
        f'To go on: {command_again(words)}'
    )


def command_again(words: Sequence[str]) -> str:
    """The command, as one types it."""
    script = sys.argv[0] if Path(sys.argv[0]).name == 'run_severe.py' else 'eval/run_severe.py'
    return shlex.join(['python', script, *words])


def record_of(item: Planned, work_dir: str | Path) -> Record | None:
    """The record of a cell, with the identity of the plan; None if there is none."""
    if item.resolved is None:
        return None
    with contextlib.suppress(RecordError):  # the cell is not done
        record = read_record(item.resolved.record_path(work_dir))
        if record.cell['id'] == item.resolved.id:
            return record
    return None


# --- what has no record ---------------------------------------------------------------------------------------------


def print_unfinished(found: Plan, results: Sequence[Finished]) -> int:
    """Name the cells without a record, with their logs; return the exit status."""
    for item in found.cells:
        if item.state == 'failed' and item.failure:
            print(f'failed before: {item.name}: {item.failure.reason} (log: {item.failure.log})', file=sys.stderr)
        elif blocker := item.blocker():
            print(f'blocked: {item.name}: it needs {blocker.name}, which failed before', file=sys.stderr)
    unfinished = [end for end in results if end.state != 'done']
    for end in unfinished:
        log = '' if end.state == 'blocked' else f' (log: {end.job.log})'
        print(f'{end.state}: {end.job.name}: {end.reason}{log}', file=sys.stderr)
    failed = len(found.in_state('failed')) + sum(read_failure(end.job.folder) is not None for end in unfinished)
    if failed:
        print(f'{failed} failed; --retry-failed runs them again', file=sys.stderr)
    return 1 if unfinished or found.in_state('failed', 'blocked') else 0


# --- states of finished cells ---------------------------------------------------------------------------------------


class DropStates(Watcher):
    """Drops the trained weights of a cell once it has its record and no open cell of the plan needs them.

    Args:
        found: The plan.
        work_dir: Its work directory.
        then: Another watcher, which is told everything too.
    """

    def __init__(self, found: Plan, work_dir: str | Path, then: Watcher) -> None:
        self.work_dir, self.then = Path(work_dir), then
        self.items = {item.resolved.id: item for item in found.cells if item.resolved is not None}
        self.done = {identity for identity, item in self.items.items() if item.done}
        self.num_bytes = 0
        for identity in self.done:
            self._drop_if_unneeded(identity)

    def started(self, job: Job) -> None:
        self.then.started(job)

    def waits(self, job: Job, claim: claims.Claim) -> None:
        self.then.waits(job, claim)

    def tick(self) -> None:
        self.then.tick()

    def ended(self, finished: Finished) -> None:
        if finished.state == 'done':
            self.done.add(finished.job.id)
            for identity in (finished.job.id, *(needed.id for needed in finished.job.needs)):
                self._drop_if_unneeded(identity)
        self.then.ended(finished)

    def _drop_if_unneeded(self, identity: str) -> None:
        """Drop the states of a done cell, unless a cell of the plan that is not done needs it."""
        item = self.items.get(identity)
        if item is None or item.resolved is None or identity not in self.done:
            return
        for other, user in self.items.items():
            if other not in self.done and any(n.resolved and n.resolved.id == identity for n in user.needs):
                return
        folder = item.resolved.folder(self.work_dir)
        for pattern in STATES:
            for path in folder.glob(pattern):
                with contextlib.suppress(OSError):
                    size = path.stat().st_size
                    path.unlink()
                    self.num_bytes += size
