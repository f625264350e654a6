"""Where cells run: on this machine, one process a cell."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.cells import Resolved

RUN_CELL = Path(__file__).with_name('run_cell.py')


@dataclass
class Finished:
    """How a cell's process ended."""

    resolved: Resolved
    status: int
    seconds: float
    log: Path

    @property
    def reason(self) -> str:
        """Last line of what the process said."""
        lines = self.log.read_text(errors='replace').strip().splitlines()
        return lines[-1] if lines else f'exit status {self.status}, no word'


def run_local(
    cells: Sequence[Resolved], work_dir: str | Path, jobs: int, on_end: Callable[[Finished], None]
) -> list[Finished]:
    """Run every cell in a process of its own, `jobs` at a time, each on its share of the cores, or on its GPU.

    A cell that fails does not stop the others. Interrupting ends the running processes; their cells start again, or
    go on from their last checkpoint, with the next run of the same command.
    """
    waiting, running, ended = list(cells), {}, []
    devices = _devices(jobs)
    try:
        while waiting or running:
            while waiting and devices:
                device, resolved = devices.pop(0), waiting.pop(0)
                running[_start(resolved, work_dir, jobs, device)] = (resolved, device, time.perf_counter())
            for process in [p for p in running if p.poll() is not None]:
                resolved, device, begun = running.pop(process)
                devices.append(device)
                log = _log(resolved, work_dir)
                ended.append(Finished(resolved, process.returncode, time.perf_counter() - begun, log))
                on_end(ended[-1])
            time.sleep(0.05)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return ended


def _start(resolved: Resolved, work_dir: str | Path, jobs: int, device: str | None) -> subprocess.Popen:
    cores = max(1, len(os.sched_getaffinity(0)) // jobs)
    environment = os.environ | {'OMP_NUM_THREADS': str(cores), 'SIGMA_CELL_OF': str(os.getpid())}
    environment.setdefault('SIGMA_WORKERS', str(min(cores - 1, 8)))
    if device is not None:
        environment['CUDA_VISIBLE_DEVICES'] = device
    command = [
        sys.executable,
        str(RUN_CELL),
        '--work-dir',
        str(work_dir),
        '--id',
        resolved.id,
        resolved.cell.to_json(),
    ]
    log = _log(resolved, work_dir)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, 'w') as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, stdin=subprocess.DEVNULL
        )


def _log(resolved: Resolved, work_dir: str | Path) -> Path:
    return resolved.folder(work_dir) / 'cell.log'


def _devices(jobs: int) -> list[str | None]:
    """One place a job: GPUs in turn where there are any, else None for the CPU."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        gpus = [part for part in visible.split(',') if part]
    else:
        import torch

        gpus = [str(number) for number in range(torch.cuda.device_count())]
    return [gpus[i % len(gpus)] if gpus else None for i in range(jobs)]


def default_jobs() -> int:
    """Cells at a time: one a GPU, else one for every core up to four."""
    import torch

    return torch.cuda.device_count() or min(4, len(os.sched_getaffinity(0)))
