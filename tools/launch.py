"""Start N processes of a tool through torchrun, with one clear sentence where that cannot work.

    python tools/launch.py SCRIPT N [arguments of SCRIPT]

GPUs where there are any, else gloo on the CPU. `tools/dist_train.sh` and
`tools/dist_test.sh` call this.
MASTER_PORT, NNODES, NODE_RANK, MASTER_ADDR are read as torchrun's own for several machines.
"""

import logging
import os
import signal
import sys


def main(argv: list[str]) -> int:
    """Check what was asked, run, and give back the first failing process's status."""
    if len(argv) < 2 or not argv[1].isdigit() or int(argv[1]) < 1:
        found = ' '.join(argv[1:2]) or 'nothing'
        print(f'launch: the number of processes must be a positive number, found {found!r}.', file=sys.stderr)
        return 2
    script, processes, rest = argv[0], int(argv[1]), argv[2:]
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
            f'--node_rank={os.environ.get("NODE_RANK", "0")}',
            '--rdzv_backend=c10d',
            f'--rdzv_endpoint={os.environ.get("MASTER_ADDR", "127.0.0.1")}:{os.environ.get("MASTER_PORT", "29500")}',
        ]
    )
    try:
        torchrun(parse_args([*where, f'--nproc_per_node={processes}', script, *rest, '--launcher', 'pytorch']))
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
        killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if killed:  # such a process had no word of its own
            rank, number = next(iter(killed.items()))
            name = signal.Signals(number).name
            print(f'launch: process {rank} was ended by {name} (SIGKILL is often a lack of memory).', file=sys.stderr)
        return next((code for code in codes.values() if code > 0), 1)
    except SignalException as error:  # to this process: an interrupt, the end of a job
        ended = signal.Signals(error.sigval)
        print(f'launch: ended by {ended.name}, and all processes with it.', file=sys.stderr)
        return 128 + ended
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
