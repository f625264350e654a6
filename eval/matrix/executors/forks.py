"""Cells as forks of one process that has imported what they need, which spares each of them the seconds of that.

`eval/serve_cells.py` is that process: it imports, then forks for every line of JSON that it is sent, and says when a
fork starts and how it ends. A cell still is a process of its own, with its log, its device, and its own end.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.cells import claims
from eval.matrix.executors.job import Job, Running, arguments_of, environment_of, last_line, log_bytes

LOG = logging.getLogger(__name__)
SERVE_CELLS = Path(__file__).resolve().parents[2] / 'serve_cells.py'
POSSIBLE = sys.platform == 'linux'  # elsewhere a fork would not hear that its matrix is gone
STEP_SECONDS = 0.005


# What cells that use torch import beyond the modules of their protocols, most of it when they build what configs name.
WITH_TORCH = (
    'torch._dynamo',  # the first step of an optimizer imports it
    'eval.models.evaluator',
    'eval.models',
    'sigma.engine',
    'sigma.models',
    'sigma.data.augment',
    'sigma.data.clips',
    'sigma.data.labels',
    'sigma.data.sampling',
    'sigma.data.transforms',
    'mmaction.datasets',
    'mmaction.models',
)


def modules_of(protocols: Sequence) -> list[str]:
    """Modules that the cells of these protocols, one each, need; none for a single cell, which may as well import.

    A user's own protocol is imported by the cell alone, since its file may be another by the next one.
    """
    if len(protocols) < 2:
        return []
    found = ['eval.cells.cell', 'eval.metrics']
    found += [type(protocol).__module__ for protocol in protocols]
    found += WITH_TORCH if any(protocol.uses_torch for protocol in protocols) else ()
    return [name for name in dict.fromkeys(found) if name.partition('.')[0] in ('eval', 'sigma', 'mmaction', 'torch')]


@dataclass(frozen=True)
class Order:
    """A line to the server.

    Attributes:
        number: Of the fork that it is about, given by who asks.
        signal: To be sent to a fork that runs; None starts one, with what follows.
        arguments: Of `eval/run_cell.py`.
        log, cwd, device: As of `eval.matrix.executors.job.start`.
        matrix: Number of the process that asks.
    """

    number: int
    signal: int | None = None
    arguments: tuple[str, ...] = ()
    log: str = ''
    cwd: str = '.'
    device: str | None = None
    matrix: int = 0


class Forks:
    """The server, started at once; it imports while cells are sent to it already.

    Args:
        modules: What cells need; one that cannot be imported is left to the cell, whose log then says why.
        cores: Share of the machine of each cell.
    """

    def __init__(self, modules: Iterable[str], cores: int) -> None:
        self._replies, write = os.pipe()
        os.set_blocking(self._replies, False)
        # By NVML: the other way to look for a GPU would keep forks from using it.
        environment = environment_of(cores) | {'PYTORCH_NVML_BASED_CUDA_CHECK': '1'}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - its last words, should it die
        self._server = subprocess.Popen(
            [sys.executable, str(SERVE_CELLS), str(write), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=environment,
            pass_fds=[write],
        )
        os.close(write)
        self._rest, self._forks, self.gone, self._ending = b'', {}, False, False

    def start(self, job: Job, device: str | None = None) -> Running:
        """As `eval.matrix.executors.job.start`."""
        size, fork = log_bytes(job), Fork(self, len(self._forks))
        self._forks[fork.number] = fork
        open(job.log, 'ab').close()  # it is read even where nothing is forked that would write it
        begun = time.perf_counter()
        order = Order(fork.number, None, tuple(arguments_of(job)), str(job.log), job.cwd, device, os.getpid())
        self.send(order)
        return Running(job, fork, begun, size)

    def send(self, order: Order) -> None:
        """Tell the server; nothing where it is gone."""
        try:
            self._server.stdin.write(json.dumps(asdict(order)).encode() + b'\n')
            self._server.stdin.flush()
        except OSError:
            self.listen()

    def listen(self) -> None:
        """Take in what the server has said. Where it is gone, its forks were told to end with it (`Fork.poll`)."""
        while not self.gone:
            try:
                said = os.read(self._replies, 65536)
            except BlockingIOError:
                return
            if not said:
                self.gone = True
                os.close(self._replies)
                with contextlib.suppress(OSError):
                    self._server.stdin.close()
                status = self._server.wait()
                if not self._ending:
                    how = f'by {signal.Signals(-status).name}' if status < 0 else f'with exit status {status}'
                    said = last_line(self._said)
                    LOG.warning(
                        'The process that cells are forked from ended %s%s: those that ran are stopped, the others '
                        'start anew; where it comes again, use --no-forks.',
                        how,
                        f' ({said})' if said else '',
                    )
                self._said.close()
                return
            *lines, self._rest = (self._rest + said).split(b'\n')
            for line in lines:
                number, pid, returncode = json.loads(line)
                self._forks[number].told(pid, returncode)

    def close(self) -> None:
        """End the server, and with it what still runs."""
        self._ending = True
        if not self.gone:
            self._server.terminate()
            while not self.gone:
                self.listen()
                time.sleep(STEP_SECONDS)


class Fork:
    """A cell's process; see `eval.matrix.executors.job.Process`. One that ended and has no `pid` never started."""

    def __init__(self, forks: Forks, number: int) -> None:
        self.number, self.pid, self.returncode = number, None, None
        self._forks, self._start_time = forks, None

    def told(self, pid: int, returncode: int | None) -> None:
        """What the server says of it."""
        if self.pid is None:
            self._start_time = claims.start_time(pid)
        self.pid, self.returncode = pid, returncode

    def poll(self) -> int | None:
        self._forks.listen()
        if self.returncode is None and self._forks.gone and not self._outlives_server():
            self.returncode = -signal.SIGTERM  # the kernel's, when its parent was gone
        return self.returncode

    def _outlives_server(self) -> bool:
        """Whether it has not ended yet, though nobody is left who would tell: until then its cell is not free."""
        return self.pid is not None and claims.runs(self.pid, self._start_time)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(f'fork {self.number}', timeout)
            time.sleep(STEP_SECONDS)
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None and self.pid is None:
            self._forks.close()  # it still imports, and would not hear for seconds
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is not None:
            return
        # Sent by its parent: to another process that was given its number meanwhile, nothing is sent.
        self._forks.send(Order(self.number, int(number)))
        if self._forks.gone and self._outlives_server():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
