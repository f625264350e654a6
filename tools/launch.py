"""Start N processes of a script through torchrun; errors are one clear sentence.

    python tools/launch.py SCRIPT N [arguments of SCRIPT]

Runs on GPUs if there are any, otherwise on the CPU with gloo. `tools/dist_train.sh` and `tools/dist_test.sh` call this.
For several machines, set NNODES, MASTER_ADDR and MASTER_PORT as for torchrun.
SIGTERM and SIGUSR1 are passed on: as SIGUSR1 to a script that handles it (`tools/train.py` then saves and exits with
75), as SIGTERM to other scripts.
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
    """Check the arguments, run, and return the exit status of the first process that failed."""
    if '--help' in argv[:1] or '-h' in argv[:1]:
        print(__doc__)
        return 0
    if len(argv) < 2 or not argv[1].isdigit() or int(argv[1]) < 1:
        found = ' '.join(argv[1:2]) or 'nothing'
        print(f'launch: the number of processes must be a positive number, found {found!r}.', file=sys.stderr)
        return 2
    script, processes, rest = argv[0], int(argv[1]), argv[2:]
    os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')  # otherwise a lost machine prints a page of C++ frames
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        print(
            f'launch: {processes} processes were asked for, but there are {gpus} GPUs; ask for {gpus} or fewer.',
            file=sys.stderr,
        )
        return 2
    return run(script, processes, rest)


def run(script: str, processes: int, rest: list[str]) -> int:
    """Run torchrun without its tracebacks: the script has already printed what went wrong."""
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
    endpoint = f'{os.environ.get("MASTER_ADDR", "127.0.0.1")}:{os.environ.get("MASTER_PORT", "29500")}'
    where = (
        ['--standalone']
        if nodes == '1'
        else [
            f'--nnodes={nodes}',
            '--rdzv_backend=c10d',
            f'--rdzv_endpoint={endpoint}',
        ]
    )
    received: list[signal.Signals] = []
    # `passing_on_signals` takes care of SIGTERM.
    ours = ['--signals-to-handle=SIGINT,SIGHUP,SIGQUIT'] if sys.platform == 'linux' else []
    try:
        with passing_on_signals(received), tempfile.TemporaryDirectory(prefix='sigma-launch-') as folder:
            os.environ['SIGMA_LAUNCH'] = folder  # where a process marks that it has printed the error
            torchrun(
                parse_args([*where, *ours, f'--nproc_per_node={processes}', script, *rest, '--launcher', 'pytorch'])
            )
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
        if received and all(-code in (*received, signal.SIGTERM) for code in codes.values()):  # the signal ended them
            return report_end(received[0])
        killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if killed:  # a killed process could not print anything
            rank, number = next(iter(killed.items()))
            name = signal.Signals(number).name
            print(f'launch: process {rank} was ended by {name} (SIGKILL often means out of memory).', file=sys.stderr)
        return next((code for code in codes.values() if code > 0), 1)
    except RendezvousError as error:
        if received:
            return report_end(received[0])
        print(
            f'launch: the other machines of this run were not found at {endpoint}, or are gone ({one_line(error)}). '
            'Run the same command with --resume to continue.',
            file=sys.stderr,
        )
        return 1
    except SignalException as error:  # sent to this process, such as an interrupt
        return report_end(signal.Signals(error.sigval))
    finally:
        os.environ.pop('SIGMA_LAUNCH', None)
    return 0


def one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return ' '.join(str(error).split()).rstrip('.')


def report_end(ended: signal.Signals) -> int:
    """Print which signal ended the run; return the status that a shell would give."""
    print(f'launch: ended by {ended.name}, and all processes with it.', file=sys.stderr)
    return 128 + ended


@contextmanager
def passing_on_signals(received: list[signal.Signals]) -> Iterator[None]:
    """Inside the block, pass SIGTERM and SIGUSR1 on to the started processes, and note them in `received`.

    Otherwise SIGUSR1 would kill torchrun, and torchrun would send SIGTERM to whole process groups, including the
    processes of loaders, so that no step could finish.
    """
    if sys.platform != 'linux':  # no /proc to find the children in
        yield
        return
    from torch.distributed.elastic.multiprocessing.api import SignalException

    def hand_on(number: int, _frame) -> None:
        received.append(signal.Signals(number))
        started = children()
        if not started:  # still waiting for the other machines
            raise SignalException(f'Told to end by signal {number}.', received[0])
        for pid in started:
            with suppress(OSError):  # it has ended meanwhile
                os.kill(int(pid), signal.SIGUSR1 if handles(pid, signal.SIGUSR1) else signal.SIGTERM)

    former = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def children() -> list[str]:
    """Ids of the processes that this one started."""
    return [pid for file in Path('/proc/self/task').glob('*/children') for pid in file.read_text().split()]


def handles(pid: str, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal that would otherwise end it."""
    caught = next(line for line in Path(f'/proc/{pid}/status').read_text().splitlines() if line.startswith('SigCgt'))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
