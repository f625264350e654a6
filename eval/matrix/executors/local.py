"""Cells on this machine: one process per cell, `jobs` in parallel, each with its share of the cores, or with a GPU."""

import os
from collections.abc import Sequence

from eval.matrix.executors.forks import POSSIBLE, Forks
from eval.matrix.executors.job import Finished, Job, Running, conclude, end, start
from eval.matrix.work import device_kind
from sigma.errors import DataError


class Local:
    """Runs cells on this machine; see `eval.matrix.executors.schedule.Backend`.

    Args:
        jobs: Cells in parallel.
        modules: Modules that cells import. If there are any and the system allows it, cells are forks of one process
            that has imported them. Otherwise each cell starts a new Python.
    """

    poll_seconds = 0.02

    def __init__(self, jobs: int, modules: Sequence[str] = ()) -> None:
        self.jobs, self.modules = jobs, modules
        self.places = _devices(jobs)
        self.forks: Forks | None = None
        self.running: list[tuple[Running, str | None]] = []

    def room(self) -> int:
        return len(self.places)

    def start(self, jobs: list[Job]) -> None:
        cores = max(1, len(os.sched_getaffinity(0)) // self.jobs)
        if self.modules and POSSIBLE and self.forks is None:
            self.forks = Forks(self.modules, cores)
        for job in jobs:
            device = self.places.pop(0)
            fork = self.forks is not None and not self.forks.gone
            running = self.forks.start(job, device) if self.forks and fork else start(job, cores, device)
            self.running.append((running, device))

    def ended(self) -> list[Finished]:
        found, never_started = [], []
        for pair in [pair for pair in self.running if pair[0].process.poll() is not None]:
            running, device = pair
            if running.process.pid is None:
                never_started.append(running.job)
            else:
                found.append(conclude(running))  # on a full disk this raises, and `stop` releases the cell
            self.running.remove(pair)
            self.places.append(device)
        if never_started:
            self.start(never_started)  # their server is gone: start each on its own
        return found

    def stop(self) -> None:
        for running, _ in self.running:
            running.process.terminate()
        for running, _ in self.running:
            end(running)
        self.running.clear()
        if self.forks is not None:
            self.forks.close()


def _devices(jobs: int) -> list[str | None]:
    """One device per job: the GPUs in turn if there are any, else None for the CPU."""
    gpus = _gpus()
    return [gpus[i % len(gpus)] if gpus else None for i in range(jobs)]


def default_jobs() -> int:
    """Cells in parallel: one per GPU, else one per core, at most 4."""
    return len(_gpus()) or min(4, len(os.sched_getaffinity(0)))


def use_device(device: str | None) -> None:
    """Restrict this process, and so its cells, to `cpu`, `cuda` (all visible GPUs) or `cuda:N`; None changes nothing.

    Raises:
        DataError: if there is no such GPU.
    """
    if device is None:
        return
    kind, _, number = device.partition(':')
    if kind == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
        return
    gpus = _gpus()
    if not gpus:
        raise DataError(f'--device {device}: no GPU is visible here; leave the option out, or give cpu.')
    if number:
        if int(number) >= len(gpus):
            raise DataError(f'--device {device}: {len(gpus)} GPUs are visible here, numbered from 0.')
        os.environ['CUDA_VISIBLE_DEVICES'] = gpus[int(number)]


def _gpus() -> list[str]:
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        return [part for part in visible.split(',') if part]
    if device_kind() == 'cpu':
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
