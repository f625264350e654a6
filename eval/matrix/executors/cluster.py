"""Cells as SLURM jobs, through submitit: job arrays with one task per cell.

If a cell needs others, it is submitted in a later array, once those have their records. SLURM signals a task before its
time limit. The task then stops its cell's process and asks to be requeued; the cell continues from its last checkpoint.
`local=True` runs the same tasks through submitit's local executor.
"""

import math
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import submitit
from submitit.slurm.slurm import SlurmJob

from eval.cells import claims
from eval.matrix.executors.job import Finished, Job, Running, conclude, keep_failure, settled, start
from eval.matrix.executors.queue import QueueWatcher
from sigma.errors import DataError


class Task:
    """One task of the array: runs a cell and waits for it."""

    def __init__(self) -> None:
        self._running: Running | None = None

    def __call__(self, job: Job) -> Finished:
        self._running = start(job, cores=len(os.sched_getaffinity(0)))
        while self._running.process.poll() is None:
            time.sleep(0.05)
        return conclude(self._running)

    def checkpoint(self, job: Job):
        """Stop the cell and requeue the task; submitit calls this before the time limit or at preemption.

        It runs inside a signal handler, maybe during `poll`; calling `wait` here could deadlock on the same lock.
        """
        if self._running is not None and self._running.process.returncode is None:
            pid = self._running.process.pid
            assert pid is not None  # `start` has started it
            self._end(pid)
            claims.drop(Path(job.cwd, job.folder), pid)
        return submitit.helpers.DelayedSubmission(Task(), job)

    @staticmethod
    def _end(pid: int, patience_seconds: float = 10.0) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(pid, number)  # it exists, at worst as a zombie: nobody else waits for it
            end = time.monotonic() + patience_seconds
            while time.monotonic() < end:
                if not claims.runs(pid):
                    return
                time.sleep(0.02)


class Cluster:
    """Runs cells as tasks of job arrays; see `eval.matrix.executors.schedule.Backend`.

    Args:
        folder: For submitit's own files.
        minutes: Time limit of a cell, rounded up to whole minutes; then it is requeued.
        at_once: Cells in parallel per array; if `local`, in total.
        max_timeouts: How often a cell is requeued after its time limit.
        local: Use submitit's local executor.
        options: Further parameters of `submitit.AutoExecutor`, such as slurm_partition.

    Raises:
        DataError: if SLURM is not available here, or refuses an option.
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
        self.executor = self._make_executor(Path(folder).resolve(), minutes, max_timeouts, dict(options or {}))
        self.running: list[tuple[Job, submitit.Job]] = []

    def _make_executor(self, folder: Path, minutes: float, max_timeouts: int, options: dict) -> submitit.AutoExecutor:
        kind = 'local' if self.local else 'slurm'
        if not self.local:
            SlurmJob.watcher = QueueWatcher()
        try:
            executor = submitit.AutoExecutor(folder, cluster=kind, **{f'{kind}_max_num_timeout': max_timeouts})
        except RuntimeError as error:
            raise DataError(
                f'SLURM is not available here ({error}); submit from a login node, or use --executor local'
            ) from None
        if not self.local:
            options['slurm_array_parallelism'] = self.at_once
        try:
            executor.update_parameters(name='run_severe', timeout_min=max(1, math.ceil(minutes)), **options)
        except (NameError, ValueError, AssertionError) as error:
            raise DataError(f'--slurm-options: submitit refuses them: {error}') from None
        return executor

    def room(self) -> int:
        return self.at_once - len(self.running) if self.local else 10**6  # SLURM has its own queue

    def start(self, jobs: list[Job]) -> None:
        """Submit an array.

        Raises:
            DataError: if sbatch refuses it, with its reason.
        """
        try:
            self.running += zip(jobs, self.executor.map_array(Task(), jobs))
        except submitit.core.utils.FailedJobError as error:
            said = str(error).strip().replace('sbatch: error: ', '').splitlines() or ['no reason']
            raise DataError(
                f'SLURM takes no jobs: {": ".join(said)}. See --slurm-partition and --slurm-options'
            ) from None

    def ended(self) -> list[Finished]:
        over = [pair for pair in self.running if pair[1].done()]
        self.running = [pair for pair in self.running if pair not in over]
        return [_result(job, task) for job, task in over]

    def stop(self) -> None:
        for _, task in self.running:
            task.cancel(check=False)
        self.running.clear()


def _result(job: Job, task: submitit.Job) -> Finished:
    """The result that the task returned; if it returned none, how its job ended."""
    try:
        return task.result()
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
        if found := settled(job):  # the task was lost after its cell had ended
            return found
        state = task.state
        if 'OUT_OF_ME' in state:
            reason = (
                'SLURM ended it for lack of memory (OUT_OF_MEMORY): ask for more, such as --slurm-options mem_gb=64'
            )
            keep_failure(job, 1, reason)
            return Finished(job, 'failed', reason)
        lines = str(error).strip().splitlines() or ['no message']
        said = [line for line in lines if 'Error: ' in line] or lines[:1]  # submitit wraps the trace in advice
        reason = f'job {task.job_id} ended without a result ({state}: {said[-1]})'
        return Finished(job, 'stopped', f'{reason}; run the same command to continue it, output in {task.paths.folder}')
