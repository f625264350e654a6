"""What several tests share: a tiny rendered dataset, and the tools run as a user runs them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if 'PYTEST_XDIST_WORKER' not in os.environ and not ('-m' in sys.argv and 'gpu' in sys.argv):
    os.environ['CUDA_VISIBLE_DEVICES'] = ''  # bit for bit, and two processes, also where there is one GPU
# Tests run on all cores at once, so a thread that waits for others must not keep a core from another test.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared'
DEMO = ROOT / 'mmaction_configs' / 'pretrain' / 'demo_sigma-mlp_vit-t_toy.py'

torch.set_num_threads(1)  # tests fork, and compare bit for bit
# A shell's background job ignores it, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def run_tool(*arguments, **environment) -> subprocess.CompletedProcess:
    """A tool of this project in a process of its own, output kept."""
    command = [sys.executable, *map(str, arguments)]
    if str(arguments[0]).endswith('.sh'):
        command = ['bash', *map(str, arguments)]
        environment.setdefault('PYTHON', sys.executable)
    env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'} | environment
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=280)


def call_main(main, capsys, *arguments) -> subprocess.CompletedProcess:
    """A tool's `main` in this process: as `run_tool`, without the seconds that starting Python and torch takes."""
    capsys.readouterr()
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, status, captured.out, captured.err)


def assert_one_sentence(done: subprocess.CompletedProcess, *words: str, status: int = 2) -> None:
    """Bad input: this status, no traceback, and a single line that holds the words."""
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
