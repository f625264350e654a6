"""Server that imports what cells need once, then forks a process for each cell. Internal: the matrix starts it
(`eval/matrix/executors/forks.py`).

python eval/serve_cells.py FILE_DESCRIPTOR MODULE ...

Orders arrive on standard input, one line of JSON each (`eval.matrix.executors.forks.Order`). Answers go to the file
descriptor: [number, pid, null] when a fork starts, [number, pid, exit status] when it ends. If a signal ended the fork,
the exit status is minus its number. The server ends when its input closes or the matrix dies, and its forks end with
it. A fork leaves the server's loop and continues as `eval/run_cell.py`.

Nothing here may use a GPU before the fork. If an import does, the fork starts a new Python instead.
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
from typing import NoReturn


def main() -> int:
    """Serve until the input closes; in a fork, run the cell."""
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        print('serve_cells: eval/run_severe.py starts this server; it is not for use by hand', file=sys.stderr)
        return 2
    from eval import run_cell

    run_cell.die_with_parent()
    answers, *modules = sys.argv[1:]
    preload(modules)
    order = serve(int(answers))
    if order is not None:
        leave(run_as_cell(order))
    return 0


def preload(modules: list[str]) -> None:
    """Import modules. A failure is ignored: the cell that needs the module imports it again and logs the reason."""
    from sigma.revision import git_state

    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    git_state()  # cached now: the commit of the imported code, even if files change later
    gc.collect()
    gc.freeze()  # the garbage collector of a fork then leaves the shared memory pages alone


def serve(answers: int) -> dict | None:
    """Fork for each order until the input closes. Returns None in the server, and its order in a fork."""
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    interrupt = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the matrix stops the cells
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    running: dict[int, int] = {}  # number of a fork -> its pid
    parent, rest = os.getpid(), b''
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            report_ended(running, answers)
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
            send_answer(answers, order['number'], pid, None)


def report_ended(running: dict[int, int], answers: int) -> None:
    """Send the exit status of every fork that has ended."""
    for number, pid in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del running[number]
            send_answer(answers, number, pid, os.waitstatus_to_exitcode(status))


def send_answer(answers: int, *what: int | None) -> None:
    """Send one answer as a whole line."""
    os.write(answers, json.dumps(what).encode() + b'\n')


def run_as_cell(order: dict) -> int:
    """In a fork: set log, device and arguments, then run `eval/run_cell.py`. Returns its exit status."""
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


def leave(status: int) -> NoReturn:
    """End a fork the way `multiprocessing` does, without the slow teardown of every imported module."""
    threading._shutdown()  # type: ignore[attr-defined]  # private, but what multiprocessing calls
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def gpu_is_lost() -> bool:
    """Whether this fork cannot use a GPU because the server has already used one."""
    torch = sys.modules.get('torch')
    return torch is not None and torch.cuda._is_in_bad_fork()


if __name__ == '__main__':
    sys.exit(main())
