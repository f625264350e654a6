"""Cells in this process, one after another, for encoders that exist only here as Python objects.

The process belongs to the user, so everything that a cell changes in it is restored: working directory, environment,
random states, threads, logging, warnings, and the objects that MMEngine keeps by name.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from eval import run_cell
from eval.cells import claims
from eval.cells.cell import ResolvedCell
from eval.matrix.executors.job import Finished, Job, keep_failure

# MMEngine keeps their instances by name, and `print_log(..., 'current')` writes to the newest.
_KEPT_BY_NAME: tuple[Any, ...] = (MMLogger, MessageHub, DefaultScope, Visualizer)


class InProcess:
    """Runs one cell at a time in this process; see `eval.matrix.executors.schedule.Backend`.

    Args:
        cells: Identity -> cell, for the identities in the jobs.
    """

    poll_seconds = 0.0

    def __init__(self, cells: Mapping[str, ResolvedCell]) -> None:
        self.cells = cells
        self._ended: list[Finished] = []

    def room(self) -> int:
        return 1

    def start(self, jobs: list[Job]) -> None:
        self._ended.extend(map(self._run, jobs))

    def ended(self) -> list[Finished]:
        found, self._ended = self._ended, []
        return found

    def stop(self) -> None:
        """Nothing runs between calls."""

    def _run(self, job: Job) -> Finished:
        started, clock = datetime.now(timezone.utc).astimezone().isoformat(timespec='seconds'), time.perf_counter()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        # If another process takes over the claim, this one must not end: `run_cell.measure` checks before it writes.
        held = claims.acquire(job.folder, on_loss=lambda: None)
        if held is None:
            return Finished(job, 'elsewhere')
        with held, unchanged_process(), output_to(job.log):
            try:
                status = run_cell.measure(self.cells[job.id], job.work_dir, started, clock, held)
            except Exception as error:  # one cell that fails does not stop the others
                traceback.print_exc()
                reason = ' '.join(f'{type(error).__name__}: {error}'.split())
                keep_failure(job, 1, reason)
                return Finished(job, 'failed', reason, time.perf_counter() - clock)
        if status == claims.ELSEWHERE:
            return Finished(job, 'elsewhere')
        for name in ('failed.json', 'retried.json'):
            Path(job.folder, name).unlink(missing_ok=True)
        return Finished(job, 'done', '', time.perf_counter() - clock)


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Append what is printed and logged to a file."""
    with open(path, 'a') as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter('%(asctime)s %(message)s'))
        logging.root.handlers, logging.root.level = [handler], logging.INFO
        yield


@contextlib.contextmanager
def unchanged_process() -> Iterator[None]:
    """Restore what a cell changes in this process when the block ends."""
    root, manager = logging.root, logging.root.manager
    handlers, level, disabled = list(root.handlers), root.level, manager.disable
    folder, environment = os.getcwd(), dict(os.environ)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cudnn, threads, cv2_threads = torch.backends.cudnn, torch.get_num_threads(), cv2.getNumThreads()
    benchmark, deterministic = cudnn.benchmark, cudnn.deterministic
    start_method = multiprocessing.get_start_method(allow_none=True)
    kept = {kind: dict(kind._instance_dict) for kind in _KEPT_BY_NAME}
    os.environ.setdefault('SIGMA_WORKERS', str(min(len(os.sched_getaffinity(0)) - 1, 8)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        stack.enter_context(torch.set_grad_enabled(True))
        try:
            yield
        finally:
            for kind, instances in kept.items():
                _close_new_loggers(kind, instances)
                kind._instance_dict.clear()
                kind._instance_dict.update(instances)
            root.handlers, manager.disable = handlers, disabled
            root.setLevel(level)
            multiprocessing.set_start_method(start_method, force=True)
            cudnn.benchmark, cudnn.deterministic = benchmark, deterministic
            torch.set_num_threads(threads)
            cv2.setNumThreads(cv2_threads)
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(folder)


def _close_new_loggers(kind: Any, instances: dict) -> None:
    for name, instance in kind._instance_dict.items():
        if isinstance(instance, MMLogger) and name not in instances:
            for handler in instance.handlers:
                handler.close()
