"""`tools/train.py` in forked processes, which start fast and can be killed at any named place."""

import functools
import hashlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import decord  # noqa: F401 - all that a run imports is imported once, here
import torch._dynamo  # noqa: F401
from mmengine.runner import Runner as MMEngineRunner

import sigma.data.clips
import sigma.data.sampler
import sigma.data.transforms
import sigma.engine
import sigma.models  # noqa: F401
from tests.conftest import PATIENCE, ROOT, demo_options
from tools import train as train_tool

CONFIG = """
'''The demo, smaller still: one narrow block.'''
_base_ = '{base}'
model = dict(
    encoder=dict(arch=dict(_delete_=True, embed_dims=32, depth=1, num_heads=2)),
    decoder=dict(embed_dims=32, depth=1, num_heads=2),
    projector=dict(out_dims=16, hidden_dims=(32,)),
    loss=dict(num_prototypes=16),
)
{more}
"""


def tiny_config(folder: Path, more: str = '') -> Path:
    """Write a config of five steps per epoch on rendered data; an epoch takes a fraction of a second."""
    path = folder / 'tiny.py'
    base = ROOT / 'mmaction_configs' / 'pretrain' / 'demo_sigma-mlp_vit-t_toy.py'
    path.write_text(CONFIG.format(base=base, more=more))
    return path


class Run:
    """One run of `tools/train.py` in a forked process.

    Args:
        config, work, card: Config, work folder and dataset card. The run resumes what is in the work folder.
        prepare: Called in the process before training, to break something.
        arguments: Further command-line options.
        log: File for its output (default: beside the work folder).
        options: More settings, as of `demo_options`.
    """

    def __init__(
        self, config: Path, work: Path, card: Path, prepare=None, arguments=(), log: Path | None = None, **options
    ) -> None:
        self.work, self.log = work, log or work.with_name(f'{work.name}.stderr')
        settings = demo_options(card, **({'default_hooks__checkpoint__interval_iters': 2} | options))
        command = [str(config), '--work-dir', str(work), '--resume', *arguments, *settings]
        self.pid = os.fork()
        if self.pid == 0:
            status = 99
            try:
                # Replace the objects, not only the descriptors: pytest has replaced them to capture output.
                sys.stdout = sys.stderr = open(self.log, 'w', buffering=1)  # noqa: SIM115 - the process ends with it
                MMEngineRunner._log_env = lambda self, env_cfg: None  # it asks compilers for versions, for seconds
                if prepare is not None:
                    prepare()
                status = train_tool.main(command)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)

    def wait(self) -> int:
        """Exit status; minus the number of the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    @property
    def said(self) -> str:
        """Its output and error output."""
        return self.log.read_text()


class Group:
    """One run of several processes, as under torchrun: when one fails, the others are killed.

    Args:
        config, work, card: Config, work folder and dataset card. The run resumes what is in the work folder.
        prepare: One function per rank, called in that process before training.
        options: More settings, as of `demo_options`.
    """

    def __init__(self, config: Path, work: Path, card: Path, prepare=(None, None), **options) -> None:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        self.runs = [
            Run(
                config,
                work,
                card,
                functools.partial(_join, rank, len(prepare), port, own),
                ['--launcher', 'pytorch'],
                work.with_name(f'{work.name}.{rank}.stderr'),
                **options,
            )
            for rank, own in enumerate(prepare)
        ]

    def wait(self, seconds: float = 60) -> list[int]:
        """Exit status of every process; minus the number of a signal that ended it."""
        status: dict[int, int] = {}
        deadline = time.time() + seconds * PATIENCE
        while len(status) < len(self.runs):
            for rank, run in enumerate(self.runs):
                if rank in status:
                    continue
                pid, found = os.waitpid(run.pid, os.WNOHANG)
                if pid:
                    status[rank] = os.waitstatus_to_exitcode(found)
            if any(status.values()) or time.time() > deadline:
                for rank in set(range(len(self.runs))) - set(status):
                    os.kill(self.runs[rank].pid, signal.SIGKILL)
                    status[rank] = os.waitstatus_to_exitcode(os.waitpid(self.runs[rank].pid, 0)[1])
            time.sleep(0.01)
        return [status[rank] for rank in range(len(self.runs))]

    @property
    def said(self) -> str:
        """Output of all processes."""
        return ''.join(run.said for run in self.runs)


def _join(rank: int, world_size: int, port: int, prepare) -> None:
    """Set the variables that torchrun sets, then call `prepare`."""
    told = {'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': world_size, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
    os.environ.update({name: str(value) for name, value in told.items()})
    if prepare is not None:
        prepare()


class Samples:
    """Logs the input of each step of a process: its number, and a hash of clips and masks.

    Args:
        file: Gets one line per step.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self) -> None:
        """Install it in this process."""
        from mmengine.logging import MessageHub

        from sigma.models.preprocessor import ClipPreprocessor

        original = ClipPreprocessor.forward

        def forward(module, data, training=False):
            digest = hashlib.sha256()
            for tensor in [*data['inputs'], *data['visible_tubes']]:
                digest.update(tensor.numpy().tobytes())
            step = MessageHub.get_current_instance().get_info('iter')
            with open(self.file, 'a') as file:
                file.write(f'{step} {digest.hexdigest()}\n')
            return original(module, data, training)

        ClipPreprocessor.forward = forward


class Places:
    """Counts the named places that a run passes, and sends SIGKILL at one of them.

    Args:
        passed: File that gets one line per place.
        kill_at: Number of the place to die at, counted from 0; None for never.
    """

    def __init__(self, passed: Path, kill_at: int | None = None) -> None:
        self.passed, self.kill_at, self.count = passed, kill_at, 0

    def __call__(self) -> None:
        """Install the places in this process."""
        from mmengine.optim import OptimWrapper

        from sigma.checkpoints import files as checkpoints

        self.surround(OptimWrapper, 'update_params', 'step')
        self.surround(checkpoints.os, 'replace', 'rename')
        self.surround(Path, 'unlink', 'delete')
        whole = checkpoints.save_file

        def save_file(tensors, path, metadata):
            whole(tensors, path, metadata)
            self.at('write: half', lambda: os.truncate(path, os.path.getsize(path) // 2))
            self.at('write: whole, not flushed')

        checkpoints.save_file = save_file

    def surround(self, owner, name: str, place: str) -> None:
        original = getattr(owner, name)

        def surrounded(*args, **kwargs):
            self.at(f'{place}: before')
            result = original(*args, **kwargs)
            self.at(f'{place}: after')
            return result

        setattr(owner, name, surrounded)

    def at(self, place: str, damage=None) -> None:
        """Pass a place. If it is the one to die at, do the damage and die."""
        with open(self.passed, 'a') as file:
            file.write(f'{place}\n')
        if self.count == self.kill_at:
            if damage is not None:
                damage()
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1
