"""Imports what cells need, then forks one for every order. `eval/matrix/executors/forks.py` starts it and speaks
with it.

python eval/serve_cells.py FILE_DESCRIPTOR MODULE ...

Orders come by standard input, a line of JSON each (`eval.matrix.executors.forks.Order`). Answers go to the file
descriptor: [number, process, null] when a fork starts, [number, process, exit status] when it ends, minus the signal
that ended it. It ends with its input, or with the matrix that started it, and its forks with it. A fork is this very
program going on as `eval/run_cell.py`: it has no parent's loop to come back to.

Nothing here may touch a GPU before the fork. Where an import does so all the same, the fork starts a new program.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import threading


def main() -> int:
    """Serve; in a fork, be a cell."""
    from eval import run_cell

    run_cell.die_with_parent()
    answers, *modules = sys.argv[1:]
    preload(modules)
    order = serve(int(answers))
    return 0 if order is None else leave(be_a_cell(order))


def preload(modules: list[str]) -> None:
    """Import; what fails is imported again by the cell that needs it, and its log says why it cannot be."""
    from eval import run_cell

    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    run_cell.git_state()  # of the code as it is read now, and not of what lies here when a cell ends
    gc.collect()
    gc.freeze()  # the collector of a fork leaves what is shared where it is


def serve(answers: int) -> dict | None:
    """Fork for orders until the input ends; None then, and in a fork its order."""
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    interrupt = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the matrix decides what becomes of cells
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    running: dict[int, int] = {}  # number of a fork -> its process
    parent, rest = os.getpid(), b''
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            tell_ended(running, answers)
        if 0 not in ready:
            continue
        said = os.read(0, 65536)
        if not said:
            return None
        *lines, rest = (rest + said).split(b'\n')
        for order in map(json.loads, lines):
            if order['signal'] is not None:
                if order['number'] in running:
                    os.kill(running[order['number']], order['signal'])
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, interrupt)
                for end in (wake, woken, answers):
                    os.close(end)
                return order | {'parent': parent}
            running[order['number']] = pid
            tell(answers, order['number'], pid, None)


def tell_ended(running: dict[int, int], answers: int) -> None:
    """Answer for every fork that has ended."""
    for number, pid in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del running[number]
            tell(answers, number, pid, os.waitstatus_to_exitcode(status))


def tell(answers: int, *what) -> None:
    """One line, whole."""
    os.write(answers, json.dumps(what).encode() + b'\n')


def be_a_cell(order: dict) -> int:
    """In a fork: output to the cell's log, its device, and then what `eval/run_cell.py` does; the exit status."""
    from eval import run_cell

    os.chdir(order['cwd'])
    log = os.open(order['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.environ.pop('PYTORCH_NVML_BASED_CUDA_CHECK', None)
    if order['device'] is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = order['device']
    os.environ['SIGMA_CELL_OF'] = f'{order["matrix"]}/{order["parent"]}'
    sys.argv = [run_cell.__file__, *order['arguments']]
    if gpu_is_lost():
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return run_cell.guarded()


def leave(status: int) -> None:
    """End a fork as `multiprocessing` ends its own: without taking apart, object by object, what was imported."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def gpu_is_lost() -> bool:
    """Whether this fork cannot use a GPU, since its parent has."""
    torch = sys.modules.get('torch')
    return torch is not None and torch.cuda._is_in_bad_fork()


if __name__ == '__main__':
    sys.exit(main())
