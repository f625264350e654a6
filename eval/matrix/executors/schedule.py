"""Hands cells to a backend until each has ended, here or in another matrix on the same work directory."""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from eval.cells import claims
from eval.matrix.executors.job import Finished, Job, prepare_retry, settled

LOOK_SECONDS = 0.5  # between looks at the cells that others run


class Backend(Protocol):
    """Where processes of cells run."""

    poll_seconds: float

    def room(self) -> int:
        """How many more cells may start now."""

    def start(self, jobs: list[Job]) -> None:
        """Start cells, no more than there is room for."""

    def ended(self) -> list[Finished]:
        """Cells that ended since the last call."""

    def stop(self) -> None:
        """End what runs; those cells are not done."""


class Watcher:
    """What is told while cells run; does nothing."""

    def started(self, job: Job) -> None:
        """Its process starts, or its job is in the queue."""

    def waits(self, job: Job, claim: claims.Claim) -> None:
        """Another process runs it."""

    def ended(self, finished: Finished) -> None:
        """It is done, failed or stopped."""

    def tick(self) -> None:
        """Time goes by."""


def run(jobs: Sequence[Job], backend: Backend, watcher: Watcher | None = None) -> list[Finished]:
    """Run every cell; one that fails does not stop the others.

    A cell that a living process of another matrix holds is left to it and waited for: its record or failure counts as
    it comes, and if its holder goes without either, the cell runs here. Interrupting ends the running processes; their
    cells start again, or go on from their last checkpoint, with the next run.
    """
    watcher = watcher or Watcher()
    waiting, elsewhere, num_running, results, looked = deque(jobs), [], 0, [], 0.0

    def ended(finished: Finished) -> None:
        results.append(finished)
        watcher.ended(finished)

    try:
        while waiting or elsewhere or num_running:
            if elsewhere and time.monotonic() - looked >= LOOK_SECONDS:
                waiting.extend(elsewhere)  # behind the others: those are free for certain
                elsewhere, looked = [], time.monotonic()
            starting = []
            for _ in range(len(waiting)):
                if len(starting) == backend.room():
                    break
                job = waiting.popleft()
                if found := settled(job):
                    ended(found)
                elif claim := claims.holder(Path(job.cwd, job.folder)):
                    watcher.waits(job, claim)
                    elsewhere.append(job)
                else:
                    prepare_retry(job)
                    watcher.started(job)
                    starting.append(job)
            if starting:
                backend.start(starting)
                num_running += len(starting)
            for finished in backend.ended():
                num_running -= 1
                if finished.state == 'elsewhere':  # another was faster by a moment
                    elsewhere.append(finished.job)
                else:
                    ended(finished)
            watcher.tick()
            time.sleep(backend.poll_seconds)
    finally:
        backend.stop()
    return results
