"""A run that is told to end saves its state first. SLURM sends SIGTERM or SIGUSR1 before it takes nodes away."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_world_size

from sigma.data.loading import LoaderError, explain
from sigma.engine.scalars import steps_between_checks

_received: signal.Signals | None = None


class Preempted(RuntimeError):
    """The run was told to end and its state is saved; the message names the signal and the step."""


@contextmanager
def deferring_signals(*signals: signal.Signals) -> Iterator[None]:
    """Inside the block, these signals are kept for `signal_to_end` and do not end this process.

    Processes forked from this one (those of a loader) still end by SIGTERM, and ignore the other signals.

    Raises:
        Preempted: if the signal also ended the loader's processes, so that the current step cannot finish.
    """
    global _received
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    owner = os.getpid()

    def handle(number: int, _frame) -> None:
        global _received
        if os.getpid() == owner:
            _received = signal.Signals(number)
        elif number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    former = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    except (LoaderError, RuntimeError) as error:
        if _received is None or not (isinstance(error, LoaderError) or explain(error)):
            raise
        raise Preempted(
            f'{_received.name} ended this run in the middle of a step, together with its loader; run the same command '
            'with --resume to continue from the newest checkpoint, if there is one.'
        ) from None
    finally:
        _received = None
        for number, handler in former.items():
            signal.signal(number, handler)


def signal_to_end(runner) -> signal.Signals | None:
    """The signal that told this run to end, or None; the same answer on all processes. Call it after every step."""
    number = agreed(runner, _received or 0)
    return signal.Signals(number) if number else None


def agreed(runner, number: int) -> int:
    """The largest of the numbers of all processes, the same answer on each. Call it after every step.

    Several processes agree after every step on a CPU, but only after every tenth step on an accelerator, so that no
    step in between waits for the device; between them the answer is 0.
    """
    if get_world_size() == 1:
        return number
    device = next(runner.model.parameters()).device
    if (runner.iter + 1) % steps_between_checks(None, device):
        return 0
    largest = torch.tensor(number, device=device)
    all_reduce(largest, 'max')
    return int(largest)
