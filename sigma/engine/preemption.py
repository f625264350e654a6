"""A run that is told to end (SIGTERM, SIGUSR1: SLURM before it takes a job's nodes away) saves its state first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_world_size

from sigma.engine.scalars import steps_between_looks

_told: signal.Signals | None = None


class Preempted(RuntimeError):
    """The run was told to end; its state is saved. One sentence that names the signal and the step."""


@contextmanager
def heeding(*signals: signal.Signals) -> Iterator[None]:
    """Within, these signals are kept for `told_to_end` instead of ending this process at once.

    Processes forked from this one (a loader's) go on ending by SIGTERM; others are not meant for them.

    Raises:
        Preempted: where the signal ended the loader's processes too, so that no step can be finished.
    """
    global _told
    if threading.current_thread() is not threading.main_thread():  # Python lets no other set a handler
        yield
        return
    owner = os.getpid()

    def heed(number: int, _frame) -> None:
        global _told
        if os.getpid() == owner:
            _told = signal.Signals(number)
        elif number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    former = {number: signal.signal(number, heed) for number in signals}
    try:
        yield
    except RuntimeError as error:
        if _told is None or 'DataLoader worker' not in str(error):
            raise
        raise Preempted(
            f'{_told.name} ended this run in a step, and the processes of its loader; the same command with --resume '
            'goes on from the newest checkpoint, if there is one.'
        ) from None
    finally:
        _told = None
        for number, handler in former.items():
            signal.signal(number, handler)


def told_to_end(runner) -> signal.Signals | None:
    """The signal that told this run to end, the same answer on all processes; call it after every step on each.

    One process needs nobody's word. Several agree on it where the log is looked at anyway, every step on a CPU and
    every tenth on an accelerator, so that no step between waits for the device.
    """
    if get_world_size() == 1:
        return _told
    device = next(runner.model.parameters()).device
    if (runner.iter + 1) % steps_between_looks(None, device):
        return None
    number = torch.tensor(_told or 0, device=device)
    all_reduce(number, 'max')
    return signal.Signals(int(number)) if int(number) else None
