"""Start N processes of a tool through torchrun, with one clear sentence where that cannot work.

    python tools/launch.py SCRIPT N [arguments of SCRIPT]

GPUs where there are any, else gloo on the CPU. `tools/dist_train.sh` and
`tools/dist_test.sh` call this.
MASTER_PORT, NNODES, MASTER_ADDR are read as torchrun's own for several machines.
SIGTERM and SIGUSR1 are handed on as SIGUSR1 to a script that heeds it (`tools/train.py` saves, and ends in 75), as
SIGTERM to others.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def main(argv: list[str]) -> int:
    """Check what was asked, run, and give back the first failing process's status."""
    if len(argv) < 2 or not argv[1].isdigit() or int(argv[1]) < 1:
        found = ' '.join(argv[1:2]) or 'nothing'
        print(f'launch: the number of processes must be a positive number, found {found!r}.', file=sys.stderr)
        return 2
    script, processes, rest = argv[0], int(argv[1]), argv[2:]
    os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')  # a lost machine is a page of C++ frames otherwise
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        print(
            f'launch: {processes} processes were asked for and {gpus} GPUs found; ask for {gpus} or fewer.',
            file=sys.stderr,
        )
        return 2
    return run(script, processes, rest)


def run(script: str, processes: int, rest: list[str]) -> int:
    """torchrun with its own tracebacks left out: what went wrong, the script has said."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as torchrun

    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    threads = str(max(1, len(os.sched_getaffinity(0)) // processes))
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ.setdefault(name, threads)
    nodes = os.environ.get('NNODES', '1')
    where = (
        ['--standalone']
        if nodes == '1'
        else [
            f'--nnodes={nodes}',
            '--rdzv_backend=c10d',
            f'--rdzv_endpoint={os.environ.get("MASTER_ADDR", "127.0.0.1")}:{os.environ.get("MASTER_PORT", "29500")}',
        ]
    )
    told: list[signal.Signals] = []
    ours = ['--signals-to-handle=SIGINT,SIGHUP,SIGQUIT'] if sys.platform == 'linux' else []  # SIGTERM: `handing_on`
    try:
        with handing_on(told), tempfile.TemporaryDirectory(prefix='sigma-launch-') as folder:
            os.environ['SIGMA_LAUNCH'] = folder  # where a process leaves a mark that it has said what went wrong
            torchrun(
                parse_args([*where, *ours, f'--nproc_per_node={processes}', script, *rest, '--launcher', 'pytorch'])
            )
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
        if told and all(-code in (*told, signal.SIGTERM) for code in codes.values()):  # not heeded: ended by it
            return say_ended(told[0])
        killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if killed:  # such a process had no word of its own
            rank, number = next(iter(killed.items()))
            name = signal.Signals(number).name
            print(f'launch: process {rank} was ended by {name} (SIGKILL is often a lack of memory).', file=sys.stderr)
        return next((code for code in codes.values() if code > 0), 1)
    except RendezvousError as error:
        if told:
            return say_ended(told[0])
        where = f'{os.environ.get("MASTER_ADDR", "127.0.0.1")}:{os.environ.get("MASTER_PORT", "29500")}'
        print(
            f'launch: the other machines of this run were not found at {where}, or are gone ({one_line(error)}); the '
            'same command with --resume goes on.',
            file=sys.stderr,
        )
        return 1
    except SignalException as error:  # to this process: an interrupt
        return say_ended(signal.Signals(error.sigval))
    finally:
        os.environ.pop('SIGMA_LAUNCH', None)
    return 0


def one_line(error: Exception) -> str:
    """What an error says, without line breaks."""
    return ' '.join(str(error).split()).rstrip('.')


def say_ended(ended: signal.Signals) -> int:
    """One sentence, and the status that a shell gives."""
    print(f'launch: ended by {ended.name}, and all processes with it.', file=sys.stderr)
    return 128 + ended


@contextmanager
def handing_on(told: list[signal.Signals]) -> Iterator[None]:
    """Within, SIGTERM and SIGUSR1 go on to the processes that were started, and are noted in `told`.

    torchrun, left alone, dies by SIGUSR1. SIGTERM it sends to whole groups, loaders' processes too, so that no step can
    be finished.
    """
    if sys.platform != 'linux':  # where children cannot be told from /proc
        yield
        return
    from torch.distributed.elastic.multiprocessing.api import SignalException

    def hand_on(number: int, _frame) -> None:
        told.append(signal.Signals(number))
        started = children()
        if not started:  # still waiting for the other machines
            raise SignalException(f'Told to end by signal {number}.', told[0])
        for pid in started:
            with suppress(OSError):  # gone meanwhile
                os.kill(int(pid), signal.SIGUSR1 if heeds(pid, signal.SIGUSR1) else signal.SIGTERM)

    former = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def children() -> list[str]:
    """Process ids of those that this one started."""
    return [pid for file in Path('/proc/self/task').glob('*/children') for pid in file.read_text().split()]


def heeds(pid: str, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, which otherwise would end it."""
    caught = next(line for line in Path(f'/proc/{pid}/status').read_text().splitlines() if line.startswith('SigCgt'))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
