"""Cells as forks of one server that has already imported what they need, which saves each cell seconds of imports.

The server is `eval/serve_cells.py`. It forks for each line of JSON that it receives, and reports when a fork starts and
how it ends. Each cell still has its own process, log, device and exit status. docs/design.md, "Libraries that were
tried", says why this is not the forkserver of `multiprocessing`.
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
POSSIBLE = sys.platform == 'linux'  # other systems do not signal a fork whose parent died
STEP_SECONDS = 0.005

# Modules that cells with torch import besides their protocol, most of them while building what configs name.
WITH_TORCH = (
    'torch._dynamo',  # imported by the first step of an optimizer
    'eval.features.clips',
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
# And what they import only when they measure, so that a plan is fast.
MEASURING = {'eval.protocols.frozen': ('eval.probes.linear',)}


def modules_of(protocols: Sequence) -> list[str]:
    """Modules to preload for cells of these protocols (one protocol per cell); none for a single cell.

    User protocols are not preloaded: their files may change between cells.
    """
    if len(protocols) < 2:
        return []
    found = ['eval.cells.cell', 'eval.metrics']
    found += [type(protocol).__module__ for protocol in protocols]
    found += [name for module in dict.fromkeys(found) for name in MEASURING.get(module, ())]
    found += WITH_TORCH if any(protocol.uses_torch for protocol in protocols) else ()
    return [name for name in dict.fromkeys(found) if name.partition('.')[0] in ('eval', 'sigma', 'mmaction', 'torch')]


@dataclass(frozen=True)
class Order:
    """One line to the server.

    Attributes:
        number: Number of the fork; the sender counts them.
        signal: Signal to send to a running fork; None starts a fork with the attributes below.
        arguments: Command line of `eval/run_cell.py`.
        log, cwd, device: As in `eval.matrix.executors.job.start`.
        matrix: Pid of the matrix, which sends the order.
    """

    number: int
    signal: int | None = None
    arguments: tuple[str, ...] = ()
    log: str = ''
    cwd: str = '.'
    device: str | None = None
    matrix: int = 0


class Forks:
    """The server and its forks. It starts at once and accepts cells while it is still importing.

    Args:
        modules: Modules to preload. If one cannot be imported, the cell that needs it fails and logs the reason.
        cores: CPU cores per cell.
    """

    def __init__(self, modules: Iterable[str], cores: int) -> None:
        self._replies, write = os.pipe()
        os.set_blocking(self._replies, False)
        # Look for GPUs through NVML: the CUDA runtime would keep forks from using them.
        environment = environment_of(cores) | {'PYTORCH_NVML_BASED_CUDA_CHECK': '1'}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - stderr of the server, quoted if it dies
        self._server = subprocess.Popen(
            [sys.executable, str(SERVE_CELLS), str(write), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=environment,
            pass_fds=[write],
        )
        os.close(write)
        assert self._server.stdin is not None
        self._orders = self._server.stdin
        self._forks: dict[int, Fork] = {}
        self._rest, self.gone, self._ending = b'', False, False

    def start(self, job: Job, device: str | None = None) -> Running:
        """Start a cell; see `eval.matrix.executors.job.start`."""
        size, fork = log_bytes(job), Fork(self, len(self._forks))
        self._forks[fork.number] = fork
        open(job.log, 'ab').close()  # the log is read even if the server dies before the fork
        begun = time.perf_counter()
        order = Order(fork.number, None, tuple(arguments_of(job)), str(job.log), job.cwd, device, os.getpid())
        self.send(order)
        return Running(job, fork, begun, size)

    def send(self, order: Order) -> None:
        """Send an order; it is dropped if the server is gone."""
        try:
            self._orders.write(json.dumps(asdict(order)).encode() + b'\n')
            self._orders.flush()
        except OSError:
            self.listen()

    def listen(self) -> None:
        """Read the server's answers. If it is gone, the kernel has signalled its forks to end (see `Fork.poll`)."""
        while not self.gone:
            try:
                said = os.read(self._replies, 65536)
            except BlockingIOError:
                return
            if not said:
                self.gone = True
                os.close(self._replies)
                with contextlib.suppress(OSError):
                    self._orders.close()
                status = self._server.wait()
                if not self._ending:
                    how = f'by {signal.Signals(-status).name}' if status < 0 else f'with exit status {status}'
                    words = last_line(self._said)
                    LOG.warning(
                        'The process that cells are forked from ended %s%s. Running cells are stopped, the others '
                        'start as processes of their own. If this happens again, use --no-forks.',
                        how,
                        f' ({words})' if words else '',
                    )
                self._said.close()
                return
            *lines, self._rest = (self._rest + said).split(b'\n')
            for line in lines:
                number, pid, returncode = json.loads(line)
                self._forks[number].on_answer(pid, returncode)

    def close(self) -> None:
        """End the server and the forks that still run."""
        self._ending = True
        if not self.gone:
            self._server.terminate()
            while not self.gone:
                self.listen()
                time.sleep(STEP_SECONDS)


class Fork:
    """A cell's process; see `eval.matrix.executors.job.Process`. If it ended without a `pid`, it never started."""

    def __init__(self, forks: Forks, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.returncode: int | None = None
        self._forks = forks
        self._start_time: str | None = None

    def on_answer(self, pid: int, returncode: int | None) -> None:
        """Record an answer of the server."""
        if self.pid is None:
            self._start_time = claims.start_time(pid)
        self.pid, self.returncode = pid, returncode

    def poll(self) -> int | None:
        self._forks.listen()
        if self.returncode is None and self._forks.gone and not self._outlives_server():
            self.returncode = -signal.SIGTERM  # from the kernel, because its parent died
        return self.returncode

    def _outlives_server(self) -> bool:
        """Whether the fork still runs after its server died. Its cell stays claimed until it ends."""
        return self.pid is not None and claims.runs(self.pid, self._start_time)

    def wait(self, timeout: float | None = None) -> int:
        begun = time.monotonic()
        while (returncode := self.poll()) is None:
            if timeout is not None and time.monotonic() > begun + timeout:
                raise subprocess.TimeoutExpired(f'fork {self.number}', timeout)
            time.sleep(STEP_SECONDS)
        return returncode

    def terminate(self) -> None:
        if self.poll() is None and self.pid is None:
            self._forks.close()  # the server still imports and would not read an order for seconds
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is not None:
            return
        # The parent sends it, so it can never reach another process that was given the same pid.
        self._forks.send(Order(self.number, int(number)))
        if self._forks.gone and self.pid is not None and self._outlives_server():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
