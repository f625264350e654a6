"""Cells as jobs of SLURM, through submitit: one array, a task a cell.

Before its time limit a task is sent a signal: it stops its cell's process and asks to be queued again, and there the
cell goes on from its last checkpoint. `local=True` runs the same tasks through submitit's local executor instead.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import submitit

from eval.executors.job import Finished, Job, Running, conclude, end, keep_failure, settled, start


class Task:
    """What a job of the array does: run one cell and wait for it."""

    def __init__(self) -> None:
        self._running: Running | None = None

    def __call__(self, job: Job) -> Finished:
        self._running = start(job, cores=len(os.sched_getaffinity(0)))
        self._running.process.wait()
        return conclude(self._running)

    def checkpoint(self, job: Job):
        """Called by submitit before the time limit or at preemption: stop, and be queued again."""
        if self._running is not None:
            end(self._running)
        return submitit.helpers.DelayedSubmission(Task(), job)


class Cluster:
    """Jobs of an array; see `eval.executors.schedule.Backend`.

    Args:
        folder: For submitit's own files.
        minutes: Time limit of a cell, after which it is queued again.
        at_once: Cells at a time: of the array, or processes where `local`.
        max_timeouts: How often a cell is queued again after its time limit.
        local: Through submitit's local executor.
        options: Further parameters of `submitit.AutoExecutor`, such as slurm_partition.
    """

    def __init__(
        self,
        folder: str | Path,
        minutes: float,
        at_once: int,
        max_timeouts: int = 20,
        local: bool = False,
        options: Mapping | None = None,
    ) -> None:
        self.local, self.at_once = local, at_once
        self.poll_seconds = 0.1 if local else 2.0
        self.executor = submitit.AutoExecutor(
            folder=Path(folder).resolve(), cluster='local' if local else 'slurm', **self._timeouts(max_timeouts)
        )
        settings = {'name': 'run_severe', 'timeout_min': minutes, **(options or {})}
        if not local:
            settings['slurm_array_parallelism'] = at_once
        self.executor.update_parameters(**settings)
        self.running: list[tuple[Job, submitit.Job]] = []

    def _timeouts(self, number: int) -> dict:
        return {'local_max_num_timeout' if self.local else 'slurm_max_num_timeout': number}

    def room(self) -> int:
        return self.at_once - len(self.running) if self.local else 10**6  # SLURM has a queue of its own

    def start(self, jobs: list[Job]) -> None:
        self.running += zip(jobs, self.executor.map_array(Task(), jobs))

    def ended(self) -> list[Finished]:
        over = [pair for pair in self.running if pair[1].done()]
        self.running = [pair for pair in self.running if pair not in over]
        return [_result(job, task) for job, task in over]

    def stop(self) -> None:
        for _, task in self.running:
            task.cancel(check=False)
        self.running.clear()


def _result(job: Job, task: submitit.Job) -> Finished:
    """What the task returned, or what became of one that could return nothing."""
    try:
        return task.result()
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
        if found := settled(job):  # it was lost after its cell had ended
            return found
        state = task.state
        if 'OUT_OF_ME' in state:
            reason = 'SLURM ended it for want of memory (OUT_OF_MEMORY): ask for more, as in --slurm-options mem_gb=64'
            keep_failure(job, 1, reason)
            return Finished(job, 'failed', reason)
        lines = str(error).strip().splitlines()
        reason = f'job {task.job_id} ended without a result ({state}: {lines[-1] if lines else "no word"})'
        return Finished(job, 'stopped', f'{reason}; the same command goes on with it, output in {task.paths.folder}')
