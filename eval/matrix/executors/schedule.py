"""Hands cells to a backend until each has ended, here or in another matrix on the same work directory."""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from eval.cells import claims
from eval.matrix.executors.job import Finished, Job, prepare_retry, settled

POLL_SECONDS = 0.5  # between looks at cells that other matrices run
HOW = {'failed': 'failed', 'stopped': 'was stopped', 'changed': 'has changed', 'blocked': 'did not run'}


class Backend(Protocol):
    """Where the processes of cells run."""

    poll_seconds: float

    def room(self) -> int:
        """How many more cells may start now."""
        ...

    def start(self, jobs: list[Job]) -> None:
        """Start cells, at most `room()` of them."""
        ...

    def ended(self) -> list[Finished]:
        """Cells that ended since the last call."""
        ...

    def stop(self) -> None:
        """End what runs; those cells are not done."""
        ...


class Watcher:
    """Is called when something happens to a cell; this base class does nothing."""

    def started(self, job: Job) -> None:
        """The cell's process has started, or its job is in the queue."""

    def waits(self, job: Job, claim: claims.Claim) -> None:
        """Another process runs the cell."""

    def ended(self, finished: Finished) -> None:
        """The cell is done, failed, stopped or blocked."""

    def tick(self) -> None:
        """Called in every round of the loop."""


def run(jobs: Sequence[Job], backend: Backend, watcher: Watcher | None = None) -> list[Finished]:
    """Run every cell. If one fails, the others still run, except those that need it.

    A cell starts once all cells that it needs have their records, from this run or another. If one of them ends without
    a record, the cell is `blocked` and does not run.

    If a living process of another matrix holds a cell, this run waits for its record or failure. If that process ends
    with neither, the cell runs here. An interrupt ends the running processes. The next run starts their cells again, or
    continues them from their last checkpoints.
    """
    return _Run(jobs, backend, watcher or Watcher()).to_the_end()


class _Run:
    """The state of `run`.

    Attributes:
        waiting: Jobs to look at, in the order of the plan.
        elsewhere: Jobs that another process holds.
        blocked_by_needs: Jobs that need a cell without a record.
        ends: Identity -> how the cell ended.
        results: The same in the order in which they ended.
    """

    def __init__(self, jobs: Sequence[Job], backend: Backend, watcher: Watcher) -> None:
        self.backend, self.watcher = backend, watcher
        self.ours = {job.id for job in jobs}
        self.waiting: deque[Job] = deque(jobs)
        self.elsewhere: list[Job] = []
        self.blocked_by_needs: list[Job] = []
        self.num_running, self.looked = 0, 0.0
        self.ends: dict[str, Finished] = {}
        self.results: list[Finished] = []

    def to_the_end(self) -> list[Finished]:
        """How every job ended."""
        try:
            while self.waiting or self.elsewhere or self.blocked_by_needs or self.num_running:
                if self.elsewhere and time.monotonic() - self.looked >= POLL_SECONDS:
                    self.waiting.extend(self.elsewhere)  # after the others, which are certainly free
                    self.elsewhere, self.looked = [], time.monotonic()
                if starting := self._choose():
                    self.backend.start(starting)
                    self.num_running += len(starting)
                for finished in self.backend.ended():
                    self.num_running -= 1
                    if finished.state == 'elsewhere':  # another process was faster
                        self.elsewhere.append(finished.job)
                    else:
                        self._ended(finished)
                self.watcher.tick()
                time.sleep(self.backend.poll_seconds)
        finally:
            self.backend.stop()
        return self.results

    def _choose(self) -> list[Job]:
        """Jobs to start now; the others are sorted by what they wait for."""
        starting: list[Job] = []
        for _ in range(len(self.waiting)):
            if len(starting) == self.backend.room():
                break
            job = self.waiting.popleft()
            if found := settled(job) or self._blocked(job):
                self._ended(found)
            elif claim := claims.holder(Path(job.cwd, job.folder)):
                self.watcher.waits(job, claim)
                self.elsewhere.append(job)
            elif not all(self._end_of(needed) for needed in job.needs):
                self.blocked_by_needs.append(job)
            else:
                prepare_retry(job)
                self.watcher.started(job)
                starting.append(job)
        return starting

    def _ended(self, finished: Finished) -> None:
        self.ends[finished.job.id] = finished
        self.results.append(finished)
        self.watcher.ended(finished)
        self.waiting.extendleft(reversed(self.blocked_by_needs))  # look again: it may be what they need
        self.blocked_by_needs = []

    def _end_of(self, needed: Job) -> Finished | None:
        """How a needed cell ended; None if it has not ended."""
        found = self.ends.get(needed.id) or settled(needed)
        if found is None and needed.id not in self.ours:
            return Finished(needed, 'changed', 'its record is gone since the plan; run the command again')
        return found

    def _blocked(self, job: Job) -> Finished | None:
        """`blocked`, if a cell that this job needs has ended without a record; otherwise None."""
        for needed in job.needs:
            found = self._end_of(needed)
            if found is not None and found.state != 'done':
                return Finished(job, 'blocked', f'it needs {needed.name}, which {HOW[found.state]}: {found.reason}')
        return None
