"""What tests share: a tiny rendered dataset, tools run the way a user runs them, patience with slow machines."""

import faulthandler
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

if 'PYTEST_XDIST_WORKER' not in os.environ and not ('-m' in sys.argv and 'gpu' in sys.argv):
    os.environ['CUDA_VISIBLE_DEVICES'] = ''  # tests compare bit for bit, and start two processes even on one GPU
# Tests use all cores at once: a thread that waits must not keep a core busy.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
# What commands remember between runs (eval/matrix/kept.py): not in the user's own folder.
os.environ.setdefault('SIGMA_CACHE', str(Path(tempfile.gettempdir()) / f'sigma-tests-{os.getuid()}'))

# Factor on every time limit of the tests: 1 on two idle cores, more with fewer cores or other work on the machine.
# The first process sets it, and xdist's workers inherit it.
CORES = len(os.sched_getaffinity(0))
os.environ.setdefault('SIGMA_TEST_PATIENCE', f'{max(1, 2 / CORES) * (1 + os.getloadavg()[0] / CORES):.1f}')

import torch  # noqa: E402

PATIENCE = float(os.environ['SIGMA_TEST_PATIENCE'])
QUICK_SECONDS, SLOW_SECONDS = 300, 900  # limits of a test on an idle machine, its fixtures included
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared'
DEMO = ROOT / 'mmaction_configs' / 'pretrain' / 'demo_sigma-mlp_vit-t_toy.py'

torch.set_num_threads(1)  # tests fork, and compare bit for bit
# Background jobs of a shell ignore SIGINT, and their children inherit that: tests that interrupt would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items) -> None:
    """Scale the time limit of every test with `SIGMA_TEST_PATIENCE`."""
    for item in items:
        own = item.get_closest_marker('timeout')
        seconds = own.args[0] if own else SLOW_SECONDS if item.get_closest_marker('slow') else QUICK_SECONDS
        item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)


def crash(number: int) -> None:
    """Kill this process by a signal such as SIGSEGV, with no trace on the screen and no core file.

    For child processes only: pytest's fault handler would print the stack of every thread.
    """
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)


def run_tool(*arguments, **environment) -> subprocess.CompletedProcess:
    """Run a tool of this project in a process of its own; its output is captured."""
    command = [sys.executable, *map(str, arguments)]
    if str(arguments[0]).endswith('.sh'):
        command = ['bash', *map(str, arguments)]
        environment.setdefault('PYTHON', sys.executable)
    env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'} | environment
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=280 * PATIENCE
    )


def call_main(main, capsys, *arguments) -> subprocess.CompletedProcess:
    """Like `run_tool`, but calls the tool's `main` in this process, which saves the start of Python and torch."""
    if 'mmengine.logging' in sys.modules:
        # MMEngine names loggers by the second: a run that follows at once would write to the output of the last test.
        sys.modules['mmengine.logging'].MMLogger._instance_dict.clear()
    capsys.readouterr()
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, status, captured.out, captured.err)


def assert_one_sentence(done: subprocess.CompletedProcess, *words: str, status: int = 2) -> None:
    """Check how a tool refuses bad input: this exit status, no traceback, and one line that holds the words."""
    assert done.returncode == status, done.stderr
    assert 'Traceback' not in done.stderr + done.stdout
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope='session')
def toy(tmp_path_factory) -> Path:
    """Folder of a rendered dataset: 4 train and 2 test clips of each of 10 classes."""
    out = tmp_path_factory.mktemp('data') / 'toy'
    done = run_tool('tools/prepare.py', 'toy', '--out', out, '--clips-per-class', 4, 2)
    assert done.returncode == 0, done.stderr
    return out


def demo_options(card: Path, **changes) -> list[str]:
    """`--cfg-options` that make the demo's pretraining tiny: 5 steps of 8 clips an epoch, 2 epochs."""
    options = {
        'train_dataloader.dataset.card': card,
        'train_dataloader.batch_size': 8,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_cfg.max_epochs': 2,
        'param_scheduler.0.end': 1,
        'param_scheduler.1.end': 2,
    } | {key.replace('__', '.'): value for key, value in changes.items()}
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def believe(home: Path, names=None) -> None:
    """Let `home/index.jsonl` hold the present size, time and hash of these videos beside the frames that it promises.

    A file that is seen to have changed would be refused before anything is read (sigma/data/on_disk.py). None: all.
    """
    import json

    from sigma.files import sha256_file

    header, *lines = (home / 'index.jsonl').read_text().split('\n')
    root = home / json.loads(header)['root']
    videos = [json.loads(line) for line in lines if line]
    for video in videos:
        if names is None or video['path'] in names:
            file = root / (video.get('file') or video['path'])
            stat = file.stat()
            video |= {'size_bytes': stat.st_size, 'mtime_ns': stat.st_mtime_ns, 'sha256': sha256_file(file)}
    (home / 'index.jsonl').write_text('\n'.join([header, *map(json.dumps, videos)]) + '\n')
